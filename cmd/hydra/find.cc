#include "cmd/hydra/find.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "shim/base/numbers.h"
#include "shim/base/status.h"
#include "shim/state/paths.h"

namespace hydra::command {
namespace {

std::string FullName(const FoundInstance& instance) {
  return instance.engine + "/" + instance.container_namespace + "/" +
         instance.id;
}

bool IsNamed(const FoundInstance& instance, const std::string& name) {
  return name == instance.id ||
         name == instance.container_namespace + "/" + instance.id ||
         name == FullName(instance);
}

// An instance lets nobody in but root and its owner, and says nothing to
// others.
absl::Status CheckAccess(const FoundInstance& instance) {
  struct stat info;
  if (geteuid() == 0 || stat(instance.socket.c_str(), &info) != 0 ||
      info.st_uid == geteuid()) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kPermissionDenied,
                   "container " + instance.id + " is user " +
                       std::to_string(info.st_uid) + "'s, and we are " +
                       std::to_string(geteuid()));
}

}  // namespace

absl::StatusOr<std::vector<FoundInstance>> FindAll(
    const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const std::string run_directory, RunDirectory());
  HYDRA_ASSIGN_OR_RETURN(std::vector<FoundInstance> found,
                         FindInstances(run_directory));
  const std::string ns = invocation.Get("namespace");
  if (!ns.empty()) {
    std::erase_if(found, [&](const FoundInstance& instance) {
      return instance.container_namespace != ns;
    });
  }
  return found;
}

absl::StatusOr<FoundInstance> FindContainer(const Invocation& invocation,
                                            const std::string& name) {
  HYDRA_ASSIGN_OR_RETURN(const std::vector<FoundInstance> all,
                         FindAll(invocation));
  std::vector<FoundInstance> matches;
  for (const FoundInstance& instance : all) {
    if (IsNamed(instance, name)) matches.push_back(instance);
  }
  if (matches.empty() && !name.empty()) {
    for (const FoundInstance& instance : all) {
      if (instance.id.starts_with(name)) matches.push_back(instance);
    }
  }
  if (matches.empty()) return NotFound("container " + name + ": not found");
  if (matches.size() > 1) {
    std::string text = "container " + name + ": which of these?";
    for (const FoundInstance& match : matches) text += " " + FullName(match);
    return InvalidArgument(text);
  }
  HYDRA_RETURN_IF_ERROR(CheckAccess(matches[0]));
  return matches[0];
}

absl::StatusOr<std::unique_ptr<Client>> ClientOf(const Invocation& invocation,
                                                 const std::string& name,
                                                 EventLoop* loop) {
  HYDRA_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                         TimeoutOf(invocation));
  HYDRA_ASSIGN_OR_RETURN(FoundInstance instance,
                         FindContainer(invocation, name));
  return std::make_unique<Client>(std::move(instance), timeout, loop);
}

absl::StatusOr<InstancePaths> PathsOfInstance(const FoundInstance& instance) {
  HYDRA_ASSIGN_OR_RETURN(const std::string run_directory, RunDirectory());
  return PathsInEngine(run_directory, instance.engine,
                       {"", instance.container_namespace, instance.id});
}

absl::StatusOr<std::chrono::milliseconds> ParseDuration(
    const std::string& what, const std::string& text) {
  std::string_view number = text;
  uint64_t factor = 1000;
  if (number.ends_with("ms")) {
    number.remove_suffix(2);
    factor = 1;
  } else if (number.ends_with("s")) {
    number.remove_suffix(1);
  } else if (number.ends_with("m")) {
    number.remove_suffix(1);
    factor = 60'000;
  } else if (number.ends_with("h")) {
    number.remove_suffix(1);
    factor = 3'600'000;
  }
  const std::optional<uint64_t> value = ParseDecimal(number);
  if (!value.has_value() || *value > 1'000'000'000) {
    return InvalidArgument(what + " " + text +
                           ": not a time like 30, 30s, 500ms or 2m");
  }
  return std::chrono::milliseconds(*value * factor);
}

absl::StatusOr<std::chrono::milliseconds> TimeoutOf(
    const Invocation& invocation) {
  if (!invocation.Has("timeout")) return std::chrono::milliseconds(0);
  return ParseDuration("--timeout", invocation.Get("timeout"));
}

}  // namespace hydra::command
