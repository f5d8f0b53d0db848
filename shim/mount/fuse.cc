#include "shim/mount/fuse.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

constexpr int kTimeoutMs = 120'000;
constexpr off_t kMaxOutput = 16 * 1024;

// Where the program's output goes. Not a pipe, whose end would never come
// while the daemon that it leaves behind has it open, and that daemon cannot
// grow it either.
absl::StatusOr<UniqueFd> MakeOutputFile() {
  UniqueFd fd(memfd_create("mount-output", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoError(errno, "memfd_create");
  if (ftruncate(fd.get(), kMaxOutput) < 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) < 0) {
    return ErrnoError(errno, "size memfd");
  }
  return fd;
}

std::string ReadOutput(int fd) {
  // The program shares the file position, which tells what it has written.
  const off_t written = lseek(fd, 0, SEEK_CUR);
  std::string text(static_cast<size_t>(written > 0 ? written : 0), '\0');
  const ssize_t count = pread(fd, text.data(), text.size(), 0);
  text.resize(static_cast<size_t>(count > 0 ? count : 0));
  return absl::Utf8SafeCEscape(text);
}

absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& arguments,
                            int output_fd) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  const absl::Cleanup destroy = [&] {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  };
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                   O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
  sigset_t signals;
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  if (error != 0) return ErrnoError(error, "run", arguments[0]);
  return pid;
}

// True when `pid` ended in time.
bool WaitForEnd(pid_t pid) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  // A kernel before 5.3: no limit then.
  if (!pidfd.valid()) return true;
  pollfd poll_fd = {pidfd.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = poll(&poll_fd, 1, kTimeoutMs);
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

}  // namespace

std::optional<FuseHelper> FindFuseHelper(const std::string& type) {
  for (const char* program : {"mount.fuse", "mount.fuse3"}) {
    const std::string prefix =
        absl::StrCat(absl::StripPrefix(program, "mount."), ".");
    if (type.starts_with(prefix)) {
      return FuseHelper{program, type.substr(prefix.size())};
    }
  }
  return std::nullopt;
}

absl::Status RunFuseHelper(const FuseHelper& helper, const std::string& source,
                           const std::string& target,
                           const std::vector<std::string>& options) {
  std::vector<std::string> arguments = {helper.program, source, target};
  for (const std::string& option : options) {
    arguments.push_back("-o");
    arguments.push_back(option);
  }
  arguments.push_back("-t");
  arguments.push_back(helper.type);

  HYDRA_ASSIGN_OR_RETURN(const UniqueFd output, MakeOutputFile());
  HYDRA_ASSIGN_OR_RETURN(const pid_t pid, Spawn(arguments, output.get()));
  const bool in_time = WaitForEnd(pid);
  if (!in_time) kill(pid, SIGKILL);
  int status = 0;
  pid_t waited = 0;
  do {
    waited = waitpid(pid, &status, 0);
  } while (waited < 0 && errno == EINTR);
  if (waited < 0) return ErrnoError(errno, "wait for", helper.program);
  if (!in_time) {
    return MakeError(absl::StatusCode::kDeadlineExceeded,
                     absl::StrCat("run ", helper.program, ": no end after ",
                                  kTimeoutMs / 1000, " s"));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return Unknown(absl::StrCat(
      "run ", helper.program, ": ",
      WIFEXITED(status) ? absl::StrCat("exit status ", WEXITSTATUS(status))
                        : absl::StrCat("signal ", WTERMSIG(status)),
      ", output: \"", ReadOutput(output.get()), "\""));
}

}  // namespace hydra
