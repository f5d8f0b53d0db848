#include "cmd/containerd-shim-hydra-v1/launch.h"

#include <linux/prctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "cmd/containerd-shim-hydra-v1/engine_cgroup.h"
#include "cmd/containerd-shim-hydra-v1/environment.h"
#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"
#include "shim/base/status.h"
#include "shim/cgroup/control.h"

namespace hydra {
namespace {

constexpr std::chrono::seconds kKillTimeout{1};
constexpr char kMonitorProgram[] = "hydra-monitor";
constexpr char kHeadProgram[] = "containerd-shim-hydra-v1";

// What the monitor, and all that it starts, is to inherit.
absl::Status PrepareProcess(const LaunchRequest& request) {
  const char* sched_core = getenv("SCHED_CORE");
  if (sched_core != nullptr && *sched_core != '\0' &&
      prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0,
            PR_SCHED_CORE_SCOPE_PROCESS_GROUP, 0) != 0) {
    return ErrnoError(errno, "create core scheduling cookie");
  }
  // Here and not with the monitor once it runs: by then it has a head, which
  // would be left behind.
  if (request.shim_cgroup.empty()) return absl::OkStatus();
  return Annotate(AddProcess(request.shim_cgroup, getpid()),
                  "enter shim cgroup");
}

std::string Beside(const std::string& self, const char* program) {
  const std::string path = self.substr(0, self.rfind('/') + 1) + program;
  return access(path.c_str(), X_OK) == 0 ? path : program;
}

}  // namespace

absl::StatusOr<Programs> FindPrograms(bool is_head) {
  char buffer[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", buffer, sizeof(buffer));
  if (n < 0) return ErrnoError(errno, "read link", "/proc/self/exe");
  const std::string self(buffer, static_cast<size_t>(n));
  return Programs{Beside(self, kMonitorProgram),
                  is_head ? self : Beside(self, kHeadProgram)};
}

MonitorCommand MonitorCommandOf(const LaunchRequest& request,
                                const Programs& programs,
                                const std::vector<std::string>& cgroups) {
  MonitorCommand command;
  command.path = programs.monitor;
  command.directory = request.paths.directory;
  command.environment = ChildEnvironment(request.ttrpc_address);
  command.head = {
      programs.head,   "-namespace", request.name.container_namespace, "-id",
      request.name.id, "-address",   request.name.engine_address};
  if (request.debug) command.head.push_back("-debug");
  command.head.insert(command.head.end(), {"-bundle", request.bundle, "serve"});
  std::vector<std::string>& words = command.arguments;
  words = {kMonitorProgram, "--directory",        request.paths.directory,
           "--socket",      request.paths.socket, "--head",
           programs.head};
  for (const std::string& directory : cgroups) {
    words.insert(words.end(), {"--cgroup", directory});
  }
  words.push_back("--");
  words.insert(words.end(), command.head.begin() + 1, command.head.end());
  return command;
}

absl::Status Launch(const LaunchRequest& request, const Programs& programs,
                    UniqueFd listener,
                    const std::function<absl::Status()>& answer) {
  auto remove_instance = absl::MakeCleanup([&] {
    (void)RemoveInstance(request.paths);  // The error is the one to tell.
  });
  HYDRA_RETURN_IF_ERROR(PrepareProcess(request));
  EngineCgroup cgroup;
  if (request.shim_cgroup.empty()) cgroup.Leave();
  HYDRA_ASSIGN_OR_RETURN(
      MonitorProcess monitor,
      MonitorProcess::Spawn(
          MonitorCommandOf(request, programs, cgroup.left_for()),
          listener.get(), request.log_fd));
  HYDRA_RETURN_IF_ERROR(
      MonitorRef::Save(request.paths.monitor_pid, monitor.pid()));
  // Before ~MonitorProcess, which knows nothing of a head.
  auto end_monitor = absl::MakeCleanup([&] {
    const absl::StatusOr<MonitorRef> ref =
        MonitorRef::Open(request.paths.monitor_pid);
    if (ref.ok()) (void)ref->KillWithChildren(kKillTimeout);  // As above.
  });
  HYDRA_RETURN_IF_ERROR(monitor.WaitUntilReady(kReadyTimeout));
  listener.Reset();
  HYDRA_RETURN_IF_ERROR(answer());
  cgroup.AskSystemd(request.name, request.paths, programs.head, monitor.pid(),
                    request.log_fd);
  monitor.Release();
  cgroup.Release();
  std::move(end_monitor).Cancel();
  std::move(remove_instance).Cancel();
  return absl::OkStatus();
}

}  // namespace hydra
