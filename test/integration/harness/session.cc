#include "test/integration/harness/session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

// What the child does between fork and exec; everything that allocates has
// been done before, because the test may have threads.
struct ChildPlan {
  const char* path;
  char* const* argv;
  char* const* environment;
  const char* directory;
  int in;
  int out;
  int err;
  bool terminal;
};

[[noreturn]] void RunChild(const ChildPlan& plan) {
  // The harness must not leave a containerd behind if it is killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  if (plan.terminal) ioctl(plan.in, TIOCSCTTY, 0);
  dup2(plan.in, 0);
  dup2(plan.out, 1);
  dup2(plan.err, 2);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  if (plan.directory != nullptr && chdir(plan.directory) != 0) _exit(127);
  execve(plan.path, plan.argv, plan.environment);
  _exit(127);
}

std::string FindInPath(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    std::string candidate(rest.substr(0, colon));
    candidate += '/' + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  return name;
}

void MakePipe(UniqueFd* read_end, UniqueFd* write_end) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return;
  read_end->Reset(fds[0]);
  write_end->Reset(fds[1]);
}

void MakeNonBlocking(int fd) {
  if (fd >= 0) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

std::vector<std::string> MergedEnvironment(
    const std::vector<std::string>& first) {
  std::vector<std::string> merged = first;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view inherited = *entry;
    const std::string_view name = inherited.substr(0, inherited.find('=') + 1);
    const bool replaced =
        std::any_of(first.begin(), first.end(), [&](const std::string& own) {
          return std::string_view(own).substr(0, name.size()) == name;
        });
    if (!replaced) merged.emplace_back(inherited);
  }
  return merged;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

bool Eventually(const std::function<bool()>& condition, Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  auto pause = std::chrono::microseconds(500);
  while (!condition()) {
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
    if (pause < std::chrono::milliseconds(20)) pause *= 2;
  }
  return true;
}

Session::Session(const std::vector<std::string>& argv,
                 const SessionOptions& options) {
  UniqueFd child_in, child_out, child_err;
  ChildPlan plan{};
  if (options.terminal) {
    in_fd_.Reset(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    grantpt(in_fd_.get());
    unlockpt(in_fd_.get());
    std::array<char, 64> name{};
    ptsname_r(in_fd_.get(), name.data(), name.size());
    child_in.Reset(open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    out_fd_.Reset(fcntl(in_fd_.get(), F_DUPFD_CLOEXEC, 0));
    plan.in = plan.out = plan.err = child_in.get();
    SetWindowSize(24, 80);
  } else {
    MakePipe(&child_in, &in_fd_);
    plan.in = child_in.get();
    plan.out = plan.err = options.output_fd;
    if (options.output_fd < 0) {
      MakePipe(&out_fd_, &child_out);
      MakePipe(&err_fd_, &child_err);
      plan.out = child_out.get();
      plan.err = child_err.get();
    }
  }
  for (const UniqueFd* fd : {&in_fd_, &out_fd_, &err_fd_}) {
    MakeNonBlocking(fd->get());
  }
  const std::vector<std::string> environment =
      MergedEnvironment(options.environment);
  const std::string path = FindInPath(argv[0]);
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> variables = Pointers(environment);
  plan.path = path.c_str();
  plan.argv = arguments.data();
  plan.environment = variables.data();
  plan.directory =
      options.directory.empty() ? nullptr : options.directory.c_str();
  plan.terminal = options.terminal;
  pid_ = fork();
  if (pid_ == 0) RunChild(plan);
  if (pid_ < 0) {
    status_ = 127;
    return;
  }
  pidfd_.Reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
}

Session::~Session() {
  if (status_.has_value()) return;
  Signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Session::SetWindowSize(unsigned short rows, unsigned short columns) {
  const winsize size = {rows, columns, 0, 0};
  ioctl(in_fd_.get(), TIOCSWINSZ, &size);
}

void Session::Signal(int signal) const {
  if (!status_.has_value() && pid_ > 0) kill(pid_, signal);
}

void Session::ReadAvailable(UniqueFd* fd, std::string* into) {
  static thread_local std::array<char, 65536> buffer;
  while (fd->valid()) {
    const ssize_t n = read(fd->get(), buffer.data(), buffer.size());
    if (n > 0) {
      into->append(buffer.data(), static_cast<size_t>(n));
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      return;
    } else {
      fd->Reset();
    }
  }
}

void Session::WriteAvailable() {
  while (in_fd_.valid() && !input_.empty()) {
    const ssize_t n = write(in_fd_.get(), input_.data(), input_.size());
    if (n > 0) {
      input_.erase(0, static_cast<size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {
      return;
    } else {
      in_fd_.Reset();
    }
  }
  if (input_.empty() && close_input_) in_fd_.Reset();
}

bool Session::Pump(Milliseconds limit) {
  if (status_.has_value()) return false;
  WriteAvailable();
  std::array<pollfd, 4> polled = {
      pollfd{pidfd_.get(), POLLIN, 0}, pollfd{out_fd_.get(), POLLIN, 0},
      pollfd{err_fd_.get(), POLLIN, 0},
      pollfd{input_.empty() ? -1 : in_fd_.get(), POLLOUT, 0}};
  poll(polled.data(), polled.size(), static_cast<int>(limit.count()));
  WriteAvailable();
  ReadAvailable(&out_fd_, &out_);
  ReadAvailable(&err_fd_, &err_);
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  // Whatever it wrote last came before its end.
  ReadAvailable(&out_fd_, &out_);
  ReadAvailable(&err_fd_, &err_);
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return false;
}

bool Session::ReadUntil(const std::function<bool()>& condition,
                        Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (!condition()) {
    const auto left =
        std::chrono::duration_cast<Milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    if (!Pump(left)) return condition();
  }
  return true;
}

bool Session::ReadUntil(std::string_view text, Milliseconds limit) {
  return ReadUntil([&] { return out_.find(text) != std::string::npos; }, limit);
}

std::optional<int> Session::Wait(Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (true) {
    const auto left =
        std::chrono::duration_cast<Milliseconds>(deadline - Clock::now());
    if (left.count() <= 0 || !Pump(left)) return status_;
  }
}

Result Run(const std::vector<std::string>& argv, const RunOptions& options) {
  Session session(argv, options.session);
  session.Write(options.input);
  session.CloseInput();
  Result result;
  result.status = session.Wait(options.limit).value_or(-1);
  result.out = session.out();
  result.err = session.err();
  return result;
}

}  // namespace hydra::testing
