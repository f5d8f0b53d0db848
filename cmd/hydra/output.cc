#include "cmd/hydra/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "absl/strings/escaping.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "containerd/v1/types.pb.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

Json WithSchema(const Json& object) {
  Json whole = {{"schema", kSchema}};
  whole.update(object);
  return whole;
}

// A text that is no UTF-8 is somebody else's.
std::string Dump(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// RFC 3629: no surrogates, nothing longer than it need be.
bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i++]);
    if (first < 0x80) continue;
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4) return false;
    for (int k = 0; k < more; ++k, ++i) {
      if (i == text.size()) return false;
      const auto next = static_cast<unsigned char>(text[i]);
      const bool is_first = k == 0;
      const unsigned low = is_first && first == 0xe0   ? 0xa0
                           : is_first && first == 0xf0 ? 0x90
                                                       : 0x80;
      const unsigned high = is_first && first == 0xed   ? 0x9f
                            : is_first && first == 0xf4 ? 0x8f
                                                        : 0xbf;
      if (next < low || next > high) return false;
    }
  }
  return true;
}

// As gRPC spells the codes.
const char* CodeName(absl::StatusCode code) {
  static constexpr std::array<const char*, 17> kNames = {"OK",
                                                         "CANCELLED",
                                                         "UNKNOWN",
                                                         "INVALID_ARGUMENT",
                                                         "DEADLINE_EXCEEDED",
                                                         "NOT_FOUND",
                                                         "ALREADY_EXISTS",
                                                         "PERMISSION_DENIED",
                                                         "RESOURCE_EXHAUSTED",
                                                         "FAILED_PRECONDITION",
                                                         "ABORTED",
                                                         "OUT_OF_RANGE",
                                                         "UNIMPLEMENTED",
                                                         "INTERNAL",
                                                         "UNAVAILABLE",
                                                         "DATA_LOSS",
                                                         "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

std::string HintFor(absl::StatusCode code, const std::string& verb) {
  switch (code) {
    case absl::StatusCode::kNotFound:
      return "if it is a container that is missing: `hydra ps -a` lists those "
             "that there are";
    case absl::StatusCode::kAlreadyExists:
      return "remove it with `hydra rm -f`, or take another name";
    case absl::StatusCode::kInvalidArgument:
      return "`hydra help" + (verb.empty() ? "" : " " + verb) +
             "` says what it takes";
    case absl::StatusCode::kPermissionDenied:
      return "be root, or the user who started the container";
    case absl::StatusCode::kUnavailable:
      return "its monitor does not answer; `hydra ps -a` tells whether it is "
             "alive, and `hydra rm -f` removes what is left of it";
    case absl::StatusCode::kDeadlineExceeded:
      if (verb == "run" || verb == "exec") {
        return "what takes longer needs a longer --timeout, or none";
      }
      return "it may still come; ask again, with a longer --timeout";
    case absl::StatusCode::kUnimplemented:
      return "the container's monitor is of an older release: `hydra upgrade`";
    case absl::StatusCode::kFailedPrecondition:
      return "`hydra inspect` tells the state that it is in";
    case absl::StatusCode::kResourceExhausted:
      return "free disk space or memory, and try again";
    default:
      if (verb == "run" || verb == "create" || verb == "restore") {
        return "a container that cannot be made leaves nothing behind: put it "
               "right, and try again";
      }
      return "hydra.log, whose place `hydra inspect` tells, may say more";
  }
}

}  // namespace

absl::Status Print(std::string_view text) {
  return WriteOutput(STDOUT_FILENO, text);
}

absl::Status PrintJson(const Json& object) {
  return Print(Dump(WithSchema(object)));
}

void Complain(bool json, const std::string& verb, const absl::Status& status,
              const std::string& container, std::string hint) {
  if (hint.empty()) hint = HintFor(status.code(), verb);
  std::string text;
  if (json) {
    Json error = {{"code", CodeName(status.code())},
                  {"message", Message(status)},
                  {"hint", hint}};
    if (!container.empty()) error["container"] = container;
    text = Dump(WithSchema({{"error", error}}));
  } else {
    const bool colors = HasColors(STDERR_FILENO);
    text = std::string(colors ? "\033[31m" : "") + "hydra" +
           (verb.empty() ? "" : " " + verb) + ":" +
           (colors ? "\033[0m " : " ") + Message(status) + "\n  " + hint + "\n";
  }
  (void)WriteOutput(STDERR_FILENO, text);  // There is nobody to tell.
}

void Note(const Invocation& invocation, const std::string& text) {
  if (invocation.json()) return;
  (void)WriteOutput(STDERR_FILENO, text + "\n");  // As above.
}

void AddData(std::string_view data, Json* object) {
  if (IsUtf8(data)) {
    (*object)["data"] = std::string(data);
  } else {
    (*object)["data_base64"] =
        absl::Base64Escape(absl::string_view(data.data(), data.size()));
  }
}

std::string Table::Text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string text;
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - row[i].size() + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

std::string TimeText(int64_t nanoseconds) {
  if (nanoseconds == 0) return {};
  const time_t seconds = nanoseconds / kSecond;
  tm parts = {};
  gmtime_r(&seconds, &parts);
  char date[32];
  strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
  char text[64];
  snprintf(text, sizeof(text), "%s.%09dZ", date,
           static_cast<int>(nanoseconds % kSecond));
  return text;
}

Json TimeJson(int64_t nanoseconds) {
  if (nanoseconds == 0) return nullptr;
  return TimeText(nanoseconds);
}

std::string DurationText(std::chrono::nanoseconds duration) {
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  static constexpr Unit kUnits[] = {
      {86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
  const int64_t seconds = duration.count() / kSecond;
  for (const Unit& unit : kUnits) {
    const int64_t count = seconds / unit.seconds;
    // Two of a smaller one say more than one of a larger.
    if (count < 2 && unit.seconds > 1) continue;
    return std::to_string(count) + " " + unit.name + (count == 1 ? "" : "s");
  }
  return "0 seconds";
}

std::string SizeText(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B",   "KiB", "MiB",
                                           "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  snprintf(text, sizeof(text), value < 10 && unit > 0 ? "%.1f%s" : "%.0f%s",
           value, kUnits[unit]);
  return text;
}

std::string StatusText(int containerd_status) {
  switch (containerd_status) {
    case containerd::v1::types::CREATED:
      return "created";
    case containerd::v1::types::RUNNING:
      return "running";
    case containerd::v1::types::STOPPED:
      return "exited";
    case containerd::v1::types::PAUSED:
      return "paused";
    case containerd::v1::types::PAUSING:
      return "pausing";
    default:
      return "unknown";
  }
}

bool HasColors(int fd) {
  const char* no_color = getenv("NO_COLOR");
  const char* terminal = getenv("TERM");
  return isatty(fd) == 1 && (no_color == nullptr || *no_color == '\0') &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

}  // namespace hydra::command
