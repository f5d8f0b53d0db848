#include "shim/runtime/bundle.h"

#include <charconv>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

using containerd::runc::v1::Options;
using nlohmann::json;

// More than any file here has.
constexpr size_t kMaxFileSize = 1 << 20;
constexpr mode_t kMode = 0600;

// Calls visit(key, value, set) for each field that options.json holds. Reader
// and writer share it, so that neither can forget one.
template <typename Visitor>
void VisitFields(Options& options, Visitor visit) {
#define HYDRA_FIELD(name)      \
  visit(#name, options.name(), \
        [&](auto value) { options.set_##name(std::move(value)); })
  HYDRA_FIELD(no_pivot_root);
  HYDRA_FIELD(no_new_keyring);
  HYDRA_FIELD(shim_cgroup);
  HYDRA_FIELD(io_uid);
  HYDRA_FIELD(io_gid);
  HYDRA_FIELD(binary_name);
  HYDRA_FIELD(root);
  HYDRA_FIELD(criu_path);
  HYDRA_FIELD(systemd_cgroup);
  HYDRA_FIELD(criu_image_path);
  HYDRA_FIELD(criu_work_path);
  HYDRA_FIELD(task_api_address);
  HYDRA_FIELD(task_api_version);
#undef HYDRA_FIELD
}

// Whether `value` is of T's kind, and then its content.
bool Get(const json& value, bool* out) {
  const auto* flag = value.get_ptr<const json::boolean_t*>();
  if (flag != nullptr) *out = *flag;
  return flag != nullptr;
}
bool Get(const json& value, std::string* out) {
  const auto* text = value.get_ptr<const json::string_t*>();
  if (text != nullptr) *out = *text;
  return text != nullptr;
}
bool Get(const json& value, uint32_t* out) {
  const auto* number = value.get_ptr<const json::number_unsigned_t*>();
  if (number == nullptr || *number > std::numeric_limits<uint32_t>::max()) {
    return false;
  }
  *out = static_cast<uint32_t>(*number);
  return true;
}

std::string_view TrimRight(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

}  // namespace

absl::Status SaveOptions(const std::string& bundle, const Options& options) {
  json document = json::object();
  Options copy = options;
  VisitFields(copy, [&](const char* name, const auto& value, auto) {
    if (value != std::decay_t<decltype(value)>{}) document[name] = value;
  });
  HYDRA_RETURN_IF_ERROR(
      ReplaceFile(bundle + "/runtime", options.binary_name(), kMode));
  // A string that is no UTF-8 is written with replacement characters.
  return ReplaceFile(
      bundle + "/options.json",
      document.dump(-1, ' ', false, json::error_handler_t::replace), kMode);
}

absl::StatusOr<Options> LoadOptions(const std::string& bundle) {
  Options options;
  const std::string path = bundle + "/options.json";
  absl::StatusOr<std::string> text = ReadFile(path, kMaxFileSize);
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  if (text.ok()) {
    const json document = json::parse(*text, nullptr, false);
    if (!document.is_object()) {
      return DataLoss("parse " + path + ": not a JSON object");
    }
    std::string wrong;
    VisitFields(options, [&](const char* name, const auto& now, auto set) {
      const auto member = document.find(name);
      if (member == document.end() || member->is_null()) return;
      std::decay_t<decltype(now)> value{};
      if (Get(*member, &value)) {
        set(std::move(value));
      } else {
        wrong = name;
      }
    });
    if (!wrong.empty()) {
      return DataLoss("parse " + path + ": " + wrong + " has a wrong type");
    }
  }
  absl::StatusOr<std::string> binary =
      ReadFile(bundle + "/runtime", kMaxFileSize);
  if (!binary.ok() && !absl::IsNotFound(binary.status())) {
    return binary.status();
  }
  if (binary.ok() && !binary->empty()) options.set_binary_name(*binary);
  return options;
}

absl::Status SaveAddress(const std::string& bundle, std::string_view address) {
  return ReplaceFile(bundle + "/address", address, kMode);
}

absl::StatusOr<pid_t> ReadPidFile(const std::string& path) {
  HYDRA_ASSIGN_OR_RETURN(std::string content, ReadFile(path, kMaxFileSize));
  const std::string_view text = TrimRight(content);
  pid_t pid = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0) {
    return DataLoss("parse " + path + ": \"" + std::string(text.substr(0, 32)) +
                    "\" is no process id");
  }
  return pid;
}

}  // namespace hydra
