#include "cmd/containerd-shim-hydra-v1/command.h"

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
#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMaxOutput = size_t{4} << 20;
constexpr size_t kMaxErrors = 4096;

// One of the child's streams.
struct Pipe {
  UniqueFd ours;
  UniqueFd childs;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "make pipe");
  Pipe pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return pipe;
}

absl::StatusOr<pid_t> Spawn(std::vector<std::string> arguments, int output,
                            int errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  const auto destroy = absl::MakeCleanup([&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  });
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, errors, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(
      &attributes,
      static_cast<short>(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
                         POSIX_SPAWN_SETPGROUP));
  std::vector<std::string> environment = ChildEnvironment();
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments[0].c_str(), &actions,
                                 &attributes, PointersTo(arguments).data(),
                                 PointersTo(environment).data());
  if (error != 0) return ErrnoError(error, "execute", arguments[0]);
  return pid;
}

// Takes what is there. False at the end of the stream.
bool Drain(const UniqueFd& fd, std::string* text) {
  char buffer[16384];
  for (;;) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    text->append(buffer, static_cast<size_t>(n));
    if (text->size() > kMaxOutput) return true;
  }
}

// Reads both streams until the child has ended. OK, or why it must be killed.
absl::Status Collect(const UniqueFd& pidfd, UniqueFd output, UniqueFd errors,
                     steady_clock::time_point deadline, CommandResult* result) {
  for (;;) {
    const auto left =
        std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) {
      return MakeError(absl::StatusCode::kDeadlineExceeded, "took too long");
    }
    // A negative descriptor is passed over.
    pollfd entries[] = {{pidfd.get(), POLLIN, 0},
                        {output.get(), POLLIN, 0},
                        {errors.get(), POLLIN, 0}};
    if (poll(entries, 3, static_cast<int>(left.count())) < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "poll");
    }
    if (output.valid() && !Drain(output, &result->output)) output.Reset();
    if (errors.valid() && !Drain(errors, &result->errors)) errors.Reset();
    if (result->output.size() > kMaxOutput) {
      return MakeError(absl::StatusCode::kResourceExhausted,
                       "printed too much");
    }
    if (result->errors.size() > kMaxErrors) {
      result->errors.erase(0, result->errors.size() - kMaxErrors);
    }
    if (entries[0].revents != 0) return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<CommandResult> RunCommand(std::vector<std::string> arguments,
                                         milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  HYDRA_ASSIGN_OR_RETURN(Pipe output, MakePipe());
  HYDRA_ASSIGN_OR_RETURN(Pipe errors, MakePipe());
  const std::string name = arguments[0];
  HYDRA_ASSIGN_OR_RETURN(
      const pid_t pid,
      Spawn(std::move(arguments), output.childs.get(), errors.childs.get()));
  output.childs.Reset();
  errors.childs.Reset();
  CommandResult result;
  absl::Status status;
  {
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    status = pidfd.valid() ? Collect(pidfd, std::move(output.ours),
                                     std::move(errors.ours), deadline, &result)
                           : ErrnoError(errno, "open pidfd");
  }
  // Not reaped yet, so the group is its own.
  if (!status.ok()) kill(-pid, SIGKILL);
  while (waitpid(pid, &result.wait_status, 0) < 0 && errno == EINTR) {
  }
  if (!status.ok()) return Annotate(status, "run " + name);
  return result;
}

}  // namespace hydra
