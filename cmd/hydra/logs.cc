// logs.

#include <unistd.h>

#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "cmd/hydra/client.h"
#include "cmd/hydra/feed.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "hydra/v1/instance.pb.h"
#include "hydra/v1/log.pb.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

// A time of RFC 3339, or a duration before now; unix nanoseconds.
absl::StatusOr<int64_t> ParseTime(const std::string& option,
                                  const std::string& text) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return absl::ToUnixNanos(time);
  }
  const auto before = ParseDuration("--" + option, text);
  if (!before.ok()) {
    return InvalidArgument("--" + option + " " + text +
                           ": not a time like 2026-01-31T12:00:00Z, nor one "
                           "before now like 10m");
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::nanoseconds(now - *before).count();
}

absl::Status ReadStart(const Invocation& invocation, v1::LogStart* start) {
  if (invocation.Has("since") && invocation.Has("tail")) {
    return InvalidArgument("--since and --tail: which of the two?");
  }
  if (invocation.Has("since")) {
    HYDRA_ASSIGN_OR_RETURN(const int64_t since,
                           ParseTime("since", invocation.Get("since")));
    start->set_since(since);
  } else if (invocation.Has("tail") && invocation.Get("tail") != "all") {
    const auto lines = ParseDecimal(invocation.Get("tail"));
    if (!lines.has_value()) {
      return InvalidArgument("--tail " + invocation.Get("tail") +
                             ": a number of lines, or all");
    }
    start->set_tail_lines(*lines);
  }
  return absl::OkStatus();
}

// Prints entries as they come; lines are put together where each has something
// of its own to be said.
class Printer final {
 public:
  explicit Printer(const Invocation& invocation)
      : json_(invocation.json()),
        timestamps_(invocation.Has("timestamps")),
        by_lines_(json_ || timestamps_),
        only_(invocation.Get("stream")) {}

  absl::Status Add(const v1::LogEntry& entry) {
    if (entry.lost() > 0) return TellLoss(entry);
    if (!only_.empty() && only_ != StreamName(entry.stream())) {
      return absl::OkStatus();
    }
    if (!by_lines_) {
      const bool is_error = entry.stream() == v1::STDERR;
      return Write(is_error ? STDERR_FILENO : STDOUT_FILENO, entry.data());
    }
    Line& line = lines_[entry.stream()];
    size_t begin = 0;
    while (begin < entry.data().size()) {
      if (line.text.empty()) {
        line.time = entry.time();
        line.position = entry.position();
      }
      const size_t end = entry.data().find('\n', begin);
      const size_t next =
          end == std::string::npos ? entry.data().size() : end + 1;
      line.text.append(entry.data(), begin, next - begin);
      begin = next;
      // One without an end is not kept in memory whole.
      if (end != std::string::npos || line.text.size() > kLongestLine) {
        HYDRA_RETURN_IF_ERROR(PrintLine(entry.stream(), &line));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Finish() {
    for (auto& [stream, line] : lines_) {
      if (line.text.empty()) continue;
      HYDRA_RETURN_IF_ERROR(PrintLine(stream, &line));
    }
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kLongestLine = 1 << 20;
  struct Line {
    int64_t time = 0;
    uint64_t position = 0;
    std::string text;
  };

  static absl::Status Write(int fd, std::string_view text) {
    return WriteOutput(fd, text);
  }

  absl::Status PrintLine(v1::Stream stream, Line* line) {
    const std::string text = std::exchange(line->text, {});
    if (!json_) {
      return Write(stream == v1::STDERR ? STDERR_FILENO : STDOUT_FILENO,
                   TimeText(line->time) + " " + text);
    }
    Json object = {{"time", TimeJson(line->time)},
                   {"stream", StreamName(stream)},
                   {"position", line->position}};
    AddData(text, &object);
    return PrintJson(object);
  }

  absl::Status TellLoss(const v1::LogEntry& entry) {
    if (json_) {
      return PrintJson({{"lost", entry.lost()}, {"missed", entry.missed()}});
    }
    return Write(STDERR_FILENO,
                 "hydra logs: " + SizeText(entry.lost()) +
                     (entry.missed() ? " were removed before they were read\n"
                                     : " could not be written to disk\n"));
  }

  const bool json_;
  const bool timestamps_;
  const bool by_lines_;
  const std::string only_;
  std::map<v1::Stream, Line> lines_;
};

absl::StatusOr<int> Logs(const Invocation& invocation) {
  v1::ReadLogRequest request;
  HYDRA_RETURN_IF_ERROR(ReadStart(invocation, request.mutable_start()));
  int64_t until = std::numeric_limits<int64_t>::max();
  if (invocation.Has("until")) {
    HYDRA_ASSIGN_OR_RETURN(until, ParseTime("until", invocation.Get("until")));
  }
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                         ClientOf(invocation, invocation.arguments()[0]));
  HYDRA_ASSIGN_OR_RETURN(const v1::InspectResponse inspected,
                         client->Inspect());
  if (inspected.container().log().max_bytes() == 0) {
    Note(
        invocation,
        invocation.Has("follow")
            ? "hydra logs: it keeps no log; this is what it writes from now on"
            : "hydra logs: it keeps no log: --follow shows what it writes from "
              "now on");
  }
  request.set_wait(invocation.Has("follow"));
  Printer printer(invocation);
  while (true) {
    HYDRA_ASSIGN_OR_RETURN(
        const v1::ReadLogResponse response,
        client->Instance<v1::ReadLogResponse>("ReadLog", request));
    bool is_over = response.ended() ||
                   (!invocation.Has("follow") && response.entries().empty());
    for (const v1::LogEntry& entry : response.entries()) {
      is_over = is_over || entry.time() > until;
      if (entry.time() <= until) HYDRA_RETURN_IF_ERROR(printer.Add(entry));
    }
    if (is_over) break;
    request.mutable_start()->set_position(response.next());
  }
  HYDRA_RETURN_IF_ERROR(printer.Finish());
  return 0;
}

}  // namespace

Verb LogsVerb() {
  return {"logs",
          {},
          "Show what a container wrote",
          "Its standard output goes to ours, its error to our error. Of a "
          "container that keeps no log, as an engine's, only what comes from "
          "now on.",
          {{"CONTAINER", "see `hydra help stop`", Argument::Count::kOne,
            "container"}},
          {{"-f,--follow", "", "go on until it ends"},
           {"--tail", "LINES", "only the last so many, or all"},
           {"--since", "TIME", "from then on: RFC 3339, or 10m for before now"},
           {"--until", "TIME", "up to then"},
           {"-t,--timestamps", "", "when each line came"},
           {"--stream", "NAME", "only stdout, stderr, or console", false,
            "stdout,stderr,console"}},
          "stream of lines: time, stream, position, data or data_base64; or "
          "lost, missed",
          Logs};
}

}  // namespace hydra::command
