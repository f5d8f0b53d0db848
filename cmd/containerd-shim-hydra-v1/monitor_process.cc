#include "cmd/containerd-shim-hydra-v1/monitor_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cmd/containerd-shim-hydra-v1/environment.h"
#include "shim/base/status.h"
#include "shim/link/protocol.h"
#include "shim/monitor/process.h"
#include "shim/monitor/spawn.h"
#include "shim/monitor/start.h"

namespace hydra {
namespace {

// A message of the monitor's about itself.
constexpr size_t kMaxReason = 4096;
// Between a process's closing of its descriptors and its end.
constexpr int kEndTimeoutMs = 1000;

std::string DescribeEnd(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return "killed by signal " + std::to_string(WTERMSIG(wait_status));
  }
  return "exit status " + std::to_string(WEXITSTATUS(wait_status));
}

}  // namespace

absl::StatusOr<MonitorProcess> MonitorProcess::Spawn(MonitorCommand command,
                                                     int listener_fd,
                                                     int log_fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "make pipe");
  UniqueFd ready(ends[0]);
  const UniqueFd report(ends[1]);
  int link[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) != 0) {
    return ErrnoError(errno, "make socket pair");
  }
  const UniqueFd monitor_link(link[0]);
  const UniqueFd head_link(link[1]);
  const std::vector<const char*> environment =
      ConstPointersTo(command.environment);
  monitor::SpawnArgs head;
  head.argv = ConstPointersTo(command.head);
  head.env = &environment;
  head.fds = {{head_link.get(), link::kLinkFd}};
  monitor::SpawnArgs args;
  args.argv = ConstPointersTo(command.arguments);
  char head_pid[monitor::kPidText];
  args.argv.insert(args.argv.begin() + 1, {"--head-pid", head_pid});
  args.path = command.path.c_str();
  args.env = &environment;
  args.fds = {{listener_fd, monitor::kListenFd},
              {report.get(), monitor::kReadyFd},
              {monitor_link.get(), monitor::kHeadFd}};
  if (log_fd >= 0) {
    head.fds.push_back({log_fd, STDERR_FILENO});
    args.fds.push_back({log_fd, STDERR_FILENO});
  }
  args.directory = command.directory.c_str();
  args.first = &head;
  args.first_pid = head_pid;
  // Of an engine or a shell, from before the time when the kernel could do it
  // at once (SpawnProcess).
  monitor::CloseOnExecFrom(STDERR_FILENO + 1);
  pid_t pid = -1;
  const int error = monitor::SpawnProcess(args, &pid);
  if (error != 0) {
    return ErrnoError(error, "execute",
                      access(command.head[0].c_str(), X_OK) == 0
                          ? command.path
                          : command.head[0]);
  }
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

absl::StatusOr<bool> AwaitReport(int report_fd,
                                 std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd entry = {report_fd, POLLIN, 0};
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
  char text[kMaxReason];
  ssize_t n = 0;
  while ((n = read(report_fd, text, sizeof(text))) < 0 && errno == EINTR) {
  }
  if (n == 1 && text[0] == '\0') return true;
  if (n < 0) return ErrnoError(errno, "read", "ready pipe");
  if (n == 0) return false;
  return Unknown("start " + std::string(text, static_cast<size_t>(n)));
}

absl::Status MonitorProcess::WaitUntilReady(std::chrono::milliseconds timeout) {
  HYDRA_ASSIGN_OR_RETURN(const bool is_ready,
                         AwaitReport(ready_.get(), timeout));
  if (is_ready) return absl::OkStatus();
  // It is ending, or has closed the pipe and will never be ready.
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
