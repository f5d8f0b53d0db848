#include "cmd/containerd-shim-hydra-v1/monitor_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "cmd/containerd-shim-hydra-v1/environment.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr int kListenerFd = 3;
constexpr int kReadyFd = 4;
// Between a process's closing of its descriptors and its end.
constexpr int kEndTimeoutMs = 1000;

// A duplicate of `fd` that is out of the way of the numbers above: the child's
// dup2 must not overwrite a source that comes later.
absl::StatusOr<UniqueFd> DupAbove(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, kReadyFd + 1));
  if (!copy.valid()) return ErrnoError(errno, "dup");
  return copy;
}

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return "killed by signal " + std::to_string(WTERMSIG(wait_status));
  }
  return "exit status " + std::to_string(WEXITSTATUS(wait_status));
}

// 0, or an errno. The objects that posix_spawn works with can fail only for
// want of memory, and then so does it.
int SpawnWith(const posix_spawn_file_actions_t& actions,
              MonitorCommand* command, pid_t* pid) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  const auto destroy =
      absl::MakeCleanup([&] { posix_spawnattr_destroy(&attributes); });
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(
      &attributes,
      static_cast<short>(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                         POSIX_SPAWN_SETSID));
  return posix_spawnp(pid, command->path.c_str(), &actions, &attributes,
                      PointersTo(command->arguments).data(),
                      PointersTo(command->environment).data());
}

}  // namespace

absl::StatusOr<MonitorProcess> MonitorProcess::Spawn(MonitorCommand command,
                                                     int listener_fd,
                                                     int log_fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "make pipe");
  UniqueFd ready(ends[0]);
  const UniqueFd report(ends[1]);
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd listener_copy, DupAbove(listener_fd));
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd report_copy, DupAbove(report.get()));

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const auto destroy =
      absl::MakeCleanup([&] { posix_spawn_file_actions_destroy(&actions); });
  UniqueFd log_copy;
  if (log_fd >= 0) {
    HYDRA_ASSIGN_OR_RETURN(log_copy, DupAbove(log_fd));
    posix_spawn_file_actions_adddup2(&actions, log_copy.get(), 2);
  } else {
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_RDWR, 0);
  }
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2(&actions, listener_copy.get(), kListenerFd);
  posix_spawn_file_actions_adddup2(&actions, report_copy.get(), kReadyFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kReadyFd + 1);

  pid_t pid = -1;
  const int error = SpawnWith(actions, &command, &pid);
  if (error != 0) return ErrnoError(error, "execute", command.path);
  return MonitorProcess(pid, std::move(ready));
}

MonitorProcess::MonitorProcess(MonitorProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ready_(std::move(other.ready_)) {}

MonitorProcess::~MonitorProcess() {
  if (pid_ <= 0) return;
  // Not reaped yet, so the pid is its own.
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::Status MonitorProcess::WaitUntilReady(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd entry = {ready_.get(), POLLIN, 0};
    const int n =
        poll(&entry, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "poll");
    if (n == 0) {
      return MakeError(absl::StatusCode::kDeadlineExceeded,
                       "wait for hydra-monitor: not ready after " +
                           std::to_string(timeout.count()) + " ms");
    }
    break;
  }
  char byte = 0;
  ssize_t n = 0;
  while ((n = read(ready_.get(), &byte, 1)) < 0 && errno == EINTR) {
  }
  if (n == 1) return absl::OkStatus();
  if (n < 0) return ErrnoError(errno, "read", "ready pipe");
  // End of file: it is ending, or has closed the pipe and will never be ready.
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  pollfd entry = {pidfd.get(), POLLIN, 0};
  if (poll(&entry, 1, kEndTimeoutMs) != 1) {
    return Unknown("start hydra-monitor: it closed its ready pipe");
  }
  int wait_status = 0;
  while (waitpid(pid_, &wait_status, 0) < 0 && errno == EINTR) {
  }
  Release();
  return Unknown("start hydra-monitor: " + DescribeEnd(wait_status) +
                 " before it was ready");
}

}  // namespace hydra
