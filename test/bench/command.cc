#include "test/bench/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "shim/base/status.h"

namespace hydra::bench {
namespace {

constexpr long long kMaxNanoseconds = 60'000'000'000;

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// posix_spawn uses CLONE_VFORK, so that the time it takes does not depend on
// how much memory this process has.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& argv,
                            const CommandOptions& options, int output,
                            int error) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  const auto redirect = [&](int fd, int target) {
    if (fd >= 0) {
      posix_spawn_file_actions_adddup2(&actions, fd, target);
    } else {
      posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_WRONLY,
                                       0);
    }
  };
  redirect(output, 1);
  redirect(error, 2);
  if (!options.directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  }
  std::vector<std::string> environment = options.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    environment.emplace_back(*entry);
  }
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> variables = Pointers(environment);
  pid_t pid = -1;
  const int error_number = posix_spawnp(&pid, arguments[0], &actions, nullptr,
                                        arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error_number != 0) return ErrnoError(error_number, "spawn", argv[0]);
  return pid;
}

int MillisecondsLeft(long long deadline) {
  const long long left = (deadline - Now()) / 1'000'000;
  return static_cast<int>(std::max(left, 0LL));
}

// The whole of `fd`, up to its end or the deadline.
std::string ReadAll(int fd, long long deadline) {
  std::string text;
  std::array<char, 4096> buffer;
  pollfd ready = {fd, POLLIN, 0};
  while (poll(&ready, 1, MillisecondsLeft(deadline)) > 0) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n <= 0) break;
    text.append(buffer.data(), static_cast<size_t>(n));
  }
  return text;
}

absl::Status Reap(pid_t pid, long long deadline) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd ready = {pidfd.get(), POLLIN, 0};
  const bool in_time = poll(&ready, 1, MillisecondsLeft(deadline)) > 0;
  if (!in_time) kill(pid, SIGKILL);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return ErrnoError(errno, "waitpid");
  if (!in_time) {
    return MakeError(absl::StatusCode::kDeadlineExceeded, "no end after 60 s");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return Unknown("wait status " + std::to_string(status));
}

std::string Joined(const std::vector<std::string>& argv) {
  std::string line;
  for (const std::string& argument : argv) line += argument + ' ';
  return line;
}

}  // namespace

long long Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const CommandOptions& options) {
  UniqueFd read_end, write_end;
  if (!options.discard_output) {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe2");
    read_end.Reset(fds[0]);
    write_end.Reset(fds[1]);
  }
  CommandResult result;
  const long long start = Now();
  const long long deadline = start + kMaxNanoseconds;
  HYDRA_ASSIGN_OR_RETURN(
      const pid_t pid, Spawn(argv, options, write_end.get(), write_end.get()));
  write_end.Reset();
  if (read_end.valid()) result.output = ReadAll(read_end.get(), deadline);
  const absl::Status status = Reap(pid, deadline);
  result.nanoseconds = Now() - start;
  if (!status.ok()) {
    return Annotate(status, Joined(argv) + result.output);
  }
  return result;
}

absl::StatusOr<pid_t> SpawnCommand(const std::vector<std::string>& argv,
                                   int output, int error,
                                   const CommandOptions& options) {
  return Spawn(argv, options, output, error);
}

absl::Status WaitCommand(pid_t pid) {
  return Reap(pid, Now() + kMaxNanoseconds);
}

}  // namespace hydra::bench
