#include "cmd/containerd-shim-hydra-v1/remains.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <vector>

#include "cmd/containerd-shim-hydra-v1/command.h"
#include "cmd/containerd-shim-hydra-v1/listener.h"
#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/cgroup/beside.h"
#include "shim/mount/unmount.h"
#include "shim/runtime/bundle.h"

namespace hydra {
namespace {

using containerd::runc::v1::Options;
using std::chrono::milliseconds;

constexpr milliseconds kRuntimeTimeout{3000};
// For a monitor that has closed its socket, to write what is left.
constexpr milliseconds kMonitorGrace{1000};
constexpr milliseconds kKillTimeout{500};
// From the death of init until the monitor has recorded it.
constexpr milliseconds kExitTimeout{500};
constexpr uint32_t kKilledStatus = 128 + SIGKILL;

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

// A runtime that does not know the container is not asked: that is the common
// case, and its start would be most of our time.
void DeleteFromRuntime(const InstanceName& name, const InstancePaths& paths,
                       const std::string& bundle, const Options& options) {
  const std::string root =
      (options.root().empty() ? paths.runtime_root : options.root()) + "/" +
      name.container_namespace;
  if (!Exists(root + "/" + name.id)) return;
  const absl::StatusOr<CommandResult> result = RunCommand(
      {options.binary_name().empty() ? "runc" : options.binary_name(), "--root",
       root, "--log", bundle + "/log.json", "--log-format", "json", "delete",
       "--force", name.id},
      kRuntimeTimeout);
  if (!result.ok()) {
    LogWarning("delete container, ignoring: ", Message(result.status()));
  } else if (!result->ok()) {
    LogWarning("delete container, ignoring: ", result->errors);
  }
}

// Waits until the monitor has recorded the exit of a container that was just
// killed, so that the answer is the one that everybody else gets.
void AwaitRecordedExit(const InstancePaths& paths, pid_t pid) {
  const auto deadline = std::chrono::steady_clock::now() + kExitTimeout;
  while (!FindRecordedExit(paths, pid) &&
         std::chrono::steady_clock::now() < deadline) {
    poll(nullptr, 0, 2);
  }
}

void EndMonitor(const InstancePaths& paths, const MonitorRef& monitor) {
  // Without its socket it is on its way out already.
  if (!IsAlive(paths.socket) && monitor.WaitForEnd(kMonitorGrace)) return;
  const absl::Status status = monitor.KillWithChildren(kKillTimeout);
  if (!status.ok()) LogWarning(Message(status), ", ignoring");
}

// init's pid, or 0. It is in the bundle of an engine's container.
pid_t InitPid(const InstancePaths& paths, const std::string& bundle) {
  for (const std::string& directory : {paths.pids, bundle}) {
    const absl::StatusOr<pid_t> pid = ReadPidFile(directory + "/init.pid");
    if (pid.ok()) return *pid;
    if (!absl::IsNotFound(pid.status())) {
      LogWarning("find init process, ignoring: ", Message(pid.status()));
    }
  }
  return 0;
}

RecordedExit KilledNow(pid_t pid) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {static_cast<uint32_t>(pid), kKilledStatus,
          std::chrono::nanoseconds(now).count()};
}

}  // namespace

RecordedExit RemoveRemains(const InstanceName& name, const InstancePaths& paths,
                           const std::string& bundle) {
  absl::StatusOr<Options> options = LoadOptions(bundle);
  if (!options.ok()) {
    LogWarning("load options, ignoring: ", Message(options.status()));
    options = Options();
  }
  const pid_t pid = InitPid(paths, bundle);
  const absl::StatusOr<MonitorRef> monitor =
      MonitorRef::Open(paths.monitor_pid);
  if (!monitor.ok() && !absl::IsNotFound(monitor.status())) {
    LogWarning("find monitor, ignoring: ", Message(monitor.status()));
  }

  DeleteFromRuntime(name, paths, bundle, *options);
  if (monitor.ok()) {
    if (pid != 0 && Exists(paths.state)) AwaitRecordedExit(paths, pid);
    EndMonitor(paths, *monitor);
    // One that was killed could not do it.
    const absl::StatusOr<std::vector<BesideCgroup>> beside = FindBeside();
    if (beside.ok()) RemoveBeside(*beside);
  }
  const RecordedExit exit =
      FindRecordedExit(paths, pid).value_or(KilledNow(pid));
  for (const absl::Status& status :
       {UnmountRecursive(bundle + "/rootfs"), RemoveInstance(paths)}) {
    if (!status.ok()) LogWarning(Message(status), ", ignoring");
  }
  return exit;
}

}  // namespace hydra
