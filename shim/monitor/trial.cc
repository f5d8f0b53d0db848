#include "shim/monitor/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string_view>

#include "shim/monitor/spawn.h"

namespace hydra::monitor {
namespace {

constexpr off_t kOutputSize = 4096;
constexpr std::string_view kOk = "ok ";
// Of what it said, in an error.
constexpr size_t kShown = 300;

// What is written past its size fails.
UniqueFd MakeOutputFile() {
  UniqueFd fd(memfd_create("hydra-trial", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd.valid() && (ftruncate(fd.get(), kOutputSize) < 0 ||
                     fcntl(fd.get(), F_ADD_SEALS,
                           F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)) {
    fd.Reset();
  }
  return fd;
}

}  // namespace

Trial::~Trial() {
  if (pid_ > 0) kill(pid_, SIGKILL);
}

int Trial::Start(const std::vector<const char*>& argv, int state_fd,
                 const rlimit* file_limit) {
  output_ = MakeOutputFile();
  if (!output_.valid()) return errno;
  SpawnArgs args;
  args.argv = argv;
  args.fds = {{output_.get(), STDOUT_FILENO}, {output_.get(), STDERR_FILENO}};
  if (state_fd >= 0) args.fds.push_back({state_fd, kStateFd});
  args.file_limit = file_limit;
  return SpawnProcess(args, &pid_);
}

bool Trial::OnExit(pid_t pid, int wait_status) {
  if (pid_ <= 0 || pid != pid_) return false;
  pid_ = 0;
  wait_status_ = wait_status;
  return true;
}

int Trial::Result(std::string* text) const {
  char buffer[kOutputSize];
  const ssize_t n = pread(output_.get(), buffer, sizeof(buffer), 0);
  std::string_view said(buffer, n > 0 ? static_cast<size_t>(n) : 0);
  said = said.substr(0, said.find('\0'));
  const bool well = WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0;
  if (well && said.substr(0, kOk.size()) == kOk) {
    said.remove_prefix(kOk.size());
    *text = said.substr(0, said.find('\n'));
    return 0;
  }
  *text = WIFSIGNALED(wait_status_)
              ? "ended by signal " + std::to_string(WTERMSIG(wait_status_))
              : "exit status " + std::to_string(WEXITSTATUS(wait_status_));
  said = said.substr(0, kShown);
  while (!said.empty() && said.back() == '\n') said.remove_suffix(1);
  text->append(": \"").append(said).append("\"");
  return EPROTO;
}

}  // namespace hydra::monitor
