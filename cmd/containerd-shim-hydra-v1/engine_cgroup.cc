#include "cmd/containerd-shim-hydra-v1/engine_cgroup.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "cmd/containerd-shim-hydra-v1/environment.h"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/cgroup/beside.h"
#include "shim/monitor/cgroups.h"
#include "shim/systemd/scope.h"

namespace hydra {
namespace {

// A busy systemd takes its time; nobody waits for it.
constexpr std::chrono::seconds kSystemdTimeout{5};
// Whatever it hangs in then.
constexpr unsigned kLastSeconds = 20;
// Below system.slice, so that what limits the machine's services as a whole
// still does.
constexpr char kSlice[] = "system-hydra.slice";

// The monitor's head, by its program. It was started with the monitor; 0 if it
// has died since.
pid_t HeadOf(pid_t monitor, const std::string& head_program) {
  const std::string pid = std::to_string(monitor);
  const absl::StatusOr<std::string> children =
      ReadFile("/proc/" + pid + "/task/" + pid + "/children", 4096);
  std::error_code error;
  const auto wanted = std::filesystem::canonical(head_program, error);
  std::istringstream words(children.value_or(""));
  for (pid_t child; words >> child;) {
    const std::string program = "/proc/" + std::to_string(child) + "/exe";
    if (std::filesystem::read_symlink(program, error) == wanted) return child;
  }
  return 0;
}

// The engine's hash and the monitor's pid make it unique; the description is
// for people.
Scope ScopeOf(const InstanceName& name, const InstancePaths& paths,
              const std::string& head_program, pid_t monitor) {
  const std::string& engine = paths.engine_directory;
  Scope scope;
  scope.name = "hydra-" + engine.substr(engine.rfind('/') + 1) + "-" +
               std::to_string(monitor) + ".scope";
  scope.slice = kSlice;
  scope.description =
      "Hydra monitor of " + name.container_namespace + "/" + name.id;
  // This process as well, so that nobody of us keeps the cgroup that we leave.
  scope.pids = {monitor, getpid()};
  const pid_t head = HeadOf(monitor, head_program);
  if (head > 0) scope.pids.push_back(head);
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

void EngineCgroup::Leave() {
  const absl::StatusOr<std::vector<BesideCgroup>> places = FindBeside();
  if (!places.ok()) {
    LogDebug("leave the engine's cgroup, ignoring: ", Message(places.status()));
    return;
  }
  had_to_leave_ = !places->empty();
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

void EngineCgroup::AskSystemd(const InstanceName& name,
                              const InstancePaths& paths,
                              const std::string& head_program, pid_t monitor,
                              int log_fd) const {
  // Only root may ask it.
  if (!had_to_leave_ || geteuid() != 0 || !SystemdRuns()) return;
  if (fork() != 0) return;
  // The engine reads our output to its end; and a listening socket that we keep
  // would pass for a living monitor.
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(log_fd, fd);
  close_range(STDERR_FILENO + 1, ~0U, 0);
  SetLogSink(STDERR_FILENO, log_level());
  setsid();
  alarm(kLastSeconds);
  const absl::Status status =
      StartScope(ScopeOf(name, paths, head_program, monitor), kSystemdTimeout);
  if (!status.ok() && kill(monitor, 0) == 0) {
    LogWarning("no scope for the monitor, ignoring: ", Message(status));
  }
  monitor::LeaveCgroups(ConstPointersTo(left_for_));
  _exit(0);
}

EngineCgroup::~EngineCgroup() {
  monitor::LeaveCgroups(ConstPointersTo(left_for_));
}

}  // namespace hydra
