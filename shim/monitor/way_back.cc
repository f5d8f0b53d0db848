#include "shim/monitor/way_back.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

namespace hydra::monitor {
namespace {

// Taking over needs milliseconds, and waits for nothing.
constexpr unsigned kLimitSeconds = 5;
constexpr int kSignals[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                            SIGTRAP, SIGABRT, SIGSYS, SIGALRM};

int previous = -1;
char state_number[16];
char error_number[16];
char* const* argv_back = nullptr;

void OnSignal(int signal) {
  WayBack::Take(signal == SIGALRM ? ETIMEDOUT : EFAULT);
  _exit(1);
}

}  // namespace

void WayBack::Prepare(int state_fd, int previous_fd,
                      const std::vector<const char*>& arguments) {
  previous = previous_fd;
  snprintf(state_number, sizeof(state_number), "%d", state_fd);
  // A handler must not allocate.
  static std::vector<char*> argv;
  for (const char* word :
       {"hydra-monitor", "--resume", const_cast<const char*>(state_number),
        "--failed", const_cast<const char*>(error_number)}) {
    argv.push_back(const_cast<char*>(word));
  }
  for (const char* word : arguments) argv.push_back(const_cast<char*>(word));
  argv.push_back(nullptr);
  argv_back = argv.data();
}

void WayBack::Arm() {
  if (previous < 0) return;
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kSignals) {
    sigaction(signal, &action, nullptr);
    sigaddset(&set, signal);
  }
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  alarm(kLimitSeconds);
}

void WayBack::Disarm() {
  alarm(0);
  if (previous < 0) return;
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  previous = -1;
}

void WayBack::Take(int error) {
  if (previous < 0) return;
  alarm(0);
  // By hand: snprintf(3) is not for signal handlers.
  char* digit = error_number + sizeof(error_number) - 1;
  for (*digit = '\0'; error > 0; error /= 10) {
    *--digit = static_cast<char>('0' + error % 10);
  }
  char* to = error_number;
  while ((*to++ = *digit++) != '\0') {
  }
  execveat(previous, "", argv_back, environ, AT_EMPTY_PATH);
}

}  // namespace hydra::monitor
