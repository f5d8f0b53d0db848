#include "cmd/containerd-shim-hydra-v1/engine_cgroup.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/cgroup/beside.h"
#include "shim/monitor/cgroups.h"
#include "shim/systemd/scope.h"

namespace hydra {
namespace {

// A busy systemd takes its time, and an engine waits only so long for `start`.
constexpr std::chrono::seconds kSystemdTimeout{1};
// Below system.slice, so that what limits the machine's services as a whole
// still does.
constexpr char kSlice[] = "system-hydra.slice";

// The engine's hash and our pid make it unique; the description is for people.
Scope ScopeOf(const Flags& flags, const InstancePaths& paths) {
  const std::string& engine = paths.engine_directory;
  Scope scope;
  scope.name = "hydra-" + engine.substr(engine.rfind('/') + 1) + "-" +
               std::to_string(getpid()) + ".scope";
  scope.slice = kSlice;
  scope.description =
      "Hydra monitor of " + flags.container_namespace + "/" + flags.id;
  scope.pid = getpid();
  return scope;
}

[[noreturn]] void EndAs(pid_t child) {
  int wait_status = 0;
  while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR) {
  }
  _exit(WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1);
}

absl::Status EnterUnified(const BesideCgroup& beside) {
  const absl::StatusOr<pid_t> child = ForkBeside(beside);
  if (child.ok() && *child > 0) EndAs(*child);
  return absl::IsUnimplemented(child.status()) ? EnterBeside(beside)
                                               : child.status();
}

}  // namespace

void EngineCgroup::Leave(const Flags& flags, const InstancePaths& paths) {
  const absl::StatusOr<std::vector<BesideCgroup>> places = FindBeside();
  if (!places.ok()) {
    LogDebug("leave the engine's cgroup, ignoring: ", Message(places.status()));
    return;
  }
  if (places->empty()) return;
  // Only root may ask it.
  if (SystemdRuns() && geteuid() == 0) {
    const absl::Status status =
        StartScope(ScopeOf(flags, paths), kSystemdTimeout);
    if (status.ok()) return;
    LogWarning("leave the engine's cgroup by systemd, trying without: ",
               Message(status));
  }
  // One line, however many hierarchies do not let us: in a container that sees
  // them read-only that is how it always is.
  absl::Status first;
  for (const BesideCgroup& place : *places) {
    const absl::Status status =
        place.unified ? EnterUnified(place) : EnterBeside(place);
    if (status.ok()) left_for_.push_back(place.directory);
    first.Update(status);
  }
  if (!first.ok()) {
    LogDebug("leave the engine's cgroup, ignoring: ", Message(first));
  }
}

EngineCgroup::~EngineCgroup() {
  std::vector<const char*> directories;
  for (const std::string& directory : left_for_) {
    directories.push_back(directory.c_str());
  }
  monitor::LeaveCgroups(directories);
}

}  // namespace hydra
