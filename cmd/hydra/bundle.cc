#include "cmd/hydra/bundle.h"

#include <optional>
#include <vector>

#include "absl/strings/str_split.h"
#include "shim/base/file.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxConfig = 10 << 20;

absl::Status Wrong(const std::string& path, const std::string& what) {
  return InvalidArgument(path + ": " + what);
}

using Kind = Json::value_t;

// What of a config.json is read or changed here, and what it must be if it is
// there; the rest is the runtime's to judge.
struct Field {
  const char* pointer;
  Kind kind;
};
constexpr Field kFields[] = {{"/process", Kind::object},
                             {"/process/args", Kind::array},
                             {"/process/env", Kind::array},
                             {"/process/terminal", Kind::boolean},
                             {"/root", Kind::object},
                             {"/root/path", Kind::string},
                             {"/mounts", Kind::array},
                             {"/linux", Kind::object},
                             {"/linux/cgroupsPath", Kind::string},
                             {"/linux/resources", Kind::object},
                             {"/annotations", Kind::object}};

absl::Status CheckShape(const std::string& path, const Json& spec) {
  if (!spec.is_object()) return Wrong(path, "no object");
  for (const Field& field : kFields) {
    const Json::json_pointer pointer(field.pointer);
    if (spec.contains(pointer) && spec[pointer].type() != field.kind) {
      return Wrong(path, std::string(field.pointer) + ": must be of type " +
                             Json(field.kind).type_name());
    }
  }
  for (const char* needed : {"/process", "/root/path"}) {
    if (!spec.contains(Json::json_pointer(needed))) {
      return Wrong(path, std::string(needed) + ": missing");
    }
  }
  for (const Json& word : spec["process"].value("args", Json::array())) {
    if (!word.is_string()) return Wrong(path, "/process/args: no text");
  }
  for (const Json& mount : spec.value("mounts", Json::array())) {
    if (!mount.is_object() ||
        (mount.contains("type") && !mount["type"].is_string())) {
      return Wrong(path, "/mounts: no mount");
    }
  }
  return absl::OkStatus();
}

// What is relative is so to the bundle.
void MakeAbsolute(const std::string& directory, Json* path) {
  const std::string text = path->get<std::string>();
  if (!text.empty() && text[0] != '/') *path = directory + "/" + text;
}

void MakePathsAbsolute(const std::string& directory, Json* spec) {
  MakeAbsolute(directory, &(*spec)["root"]["path"]);
  if (!spec->contains("mounts")) return;
  for (Json& mount : (*spec)["mounts"]) {
    if (!mount.contains("source") || !mount["source"].is_string()) continue;
    bool is_bind = mount.value("type", "") == "bind";
    if (mount.contains("options") && mount["options"].is_array()) {
      for (const Json& option : mount["options"]) {
        is_bind = is_bind || option == "bind" || option == "rbind";
      }
    }
    if (is_bind) MakeAbsolute(directory, &mount["source"]);
  }
}

// A variable that is there already gets the new value.
void SetVariable(const std::string& variable, Json* process) {
  const std::string name = variable.substr(0, variable.find('=') + 1);
  if (!(*process)["env"].is_array()) (*process)["env"] = Json::array();
  for (Json& known : (*process)["env"]) {
    if (known.is_string() && known.get<std::string>().starts_with(name)) {
      known = variable;
      return;
    }
  }
  (*process)["env"].push_back(variable);
}

absl::Status SetUser(const std::string& user, Json* process) {
  const std::vector<std::string> parts = absl::StrSplit(user, ':');
  const auto uid = ParseDecimal(parts[0]);
  const auto gid =
      parts.size() == 2 ? ParseDecimal(parts[1]) : std::optional<uint64_t>(0);
  if (!uid.has_value() || !gid.has_value() || parts.size() > 2) {
    return InvalidArgument("--user " + user +
                           ": with --bundle a number, or two like 1000:1000");
  }
  (*process)["user"] = {{"uid", *uid}, {"gid", *gid}};
  return absl::OkStatus();
}

absl::Status ApplyToProcess(const SpecOptions& options, Json* process) {
  if (!options.command.empty()) (*process)["args"] = options.command;
  for (const std::string& variable : options.environment) {
    SetVariable(variable, process);
  }
  if (!options.directory.empty()) (*process)["cwd"] = options.directory;
  if (options.terminal) (*process)["terminal"] = true;
  if (options.user.empty()) return absl::OkStatus();
  return SetUser(options.user, process);
}

}  // namespace

absl::StatusOr<Json> LoadConfig(const std::string& path,
                                const std::string& directory,
                                const SpecOptions& options,
                                const std::string& cgroups_path) {
  HYDRA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfig));
  Json spec = Json::parse(text, nullptr, false);
  if (spec.is_discarded()) return Wrong(path, "not JSON");
  HYDRA_RETURN_IF_ERROR(CheckShape(path, spec));
  MakePathsAbsolute(directory, &spec);
  Json& process = spec["process"];
  HYDRA_RETURN_IF_ERROR(ApplyToProcess(options, &process));
  if (!process.contains("args") || process["args"].empty()) {
    return Wrong(path,
                 "/process/args: empty; put a command after the "
                 "options");
  }
  if (!options.hostname.empty()) spec["hostname"] = options.hostname;
  if (options.read_only) spec["root"]["readonly"] = true;
  Json& linux_part = spec["linux"];
  if (linux_part.is_null()) linux_part = Json::object();
  if (linux_part.value("cgroupsPath", "").empty()) {
    linux_part["cgroupsPath"] = cgroups_path;
  }
  for (const Json& mount : ExtraMounts(options)) {
    spec["mounts"].push_back(mount);
  }
  linux_part["resources"].merge_patch(ResourceLimits(options));
  for (const auto& [name, value] : options.annotations) {
    spec["annotations"][name] = value;
  }
  return spec;
}

}  // namespace hydra::command
