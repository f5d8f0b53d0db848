#include "shim/monitor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"

namespace hydra::monitor {
namespace {

constexpr size_t kChildStack = 64 << 10;

// All that the child needs, made before it exists: it shares our memory, so
// it must not allocate.
struct ChildPlan {
  std::vector<std::string> paths;  // To be tried in order.
  std::vector<char*> argv;
  std::vector<char*> environment;
  char** envp = nullptr;
  std::vector<SpawnArgs::Descriptor> fds;
  int first_free = 3;  // Above all targets.
  const rlimit* file_limit = nullptr;
  const char* directory = nullptr;
  char* stack = nullptr;  // kChildStack bytes.
  ChildPlan* first = nullptr;
  char* first_pid = nullptr;
  int error = 0;  // Out.

  ~ChildPlan() {
    if (stack != nullptr) munmap(stack, kChildStack);
  }
};

std::string_view SearchPath(const SpawnArgs& args) {
  if (args.env == nullptr) {
    const char* path = getenv("PATH");
    if (path != nullptr) return path;
  } else {
    for (const char* entry : *args.env) {
      if (strncmp(entry, "PATH=", 5) == 0) return entry + 5;
    }
  }
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

void AddCandidates(const SpawnArgs& args, std::vector<std::string>* paths) {
  const std::string_view name = args.path == nullptr ? args.argv[0] : args.path;
  if (name.find('/') != name.npos) {
    paths->emplace_back(name);
    return;
  }
  std::string_view rest = SearchPath(args);
  while (true) {
    const size_t colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    // An empty entry is the working directory, as for execvp(3).
    std::string path(directory.empty() ? "." : directory);
    paths->push_back(path.append("/").append(name));
    if (colon == rest.npos) return;
    rest.remove_prefix(colon + 1);
  }
}

int MakePlan(const SpawnArgs& args, int null_fd, ChildPlan* plan) {
  if (args.argv.empty() || args.argv[0][0] == '\0') return EINVAL;
  bool given[3] = {};
  for (const SpawnArgs::Descriptor& d : args.fds) {
    if (d.target < 0 || d.target >= kMaxSpawnTarget) return EINVAL;
    if (d.target < 3) given[d.target] = true;
    if (d.target >= plan->first_free) plan->first_free = d.target + 1;
    plan->fds.push_back(d);
  }
  for (int target = 0; target < 3; ++target) {
    if (!given[target]) plan->fds.push_back({null_fd, target});
  }
  AddCandidates(args, &plan->paths);
  for (const char* a : args.argv) plan->argv.push_back(const_cast<char*>(a));
  plan->argv.push_back(nullptr);
  if (args.env == nullptr) {
    plan->envp = environ;
  } else {
    for (const char* e : *args.env) {
      plan->environment.push_back(const_cast<char*>(e));
    }
    plan->environment.push_back(nullptr);
    plan->envp = plan->environment.data();
  }
  plan->file_limit = args.file_limit;
  plan->directory = args.directory;
  void* stack = mmap(nullptr, kChildStack, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return errno;
  plan->stack = static_cast<char*>(stack);
  return 0;
}

int PlaceDescriptors(ChildPlan* plan) {
  // Everything of ours is close-on-exec already; this is for what a library
  // may have opened. Not before Linux 5.11, so the result is no matter.
  close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  // First out of the way of all targets, then down to them.
  for (SpawnArgs::Descriptor& d : plan->fds) {
    d.source = fcntl(d.source, F_DUPFD_CLOEXEC, plan->first_free);
    if (d.source < 0) return errno;
  }
  for (const SpawnArgs::Descriptor& d : plan->fds) {
    if (dup2(d.source, d.target) < 0) return errno;
  }
  return 0;
}

void ResetSignals() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) {
    sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// As execvp(3): a candidate that is not there is passed over, one that may not
// be executed is remembered, any other failure is the answer.
int ExecuteFirst(const ChildPlan& plan) {
  int error = ENOENT;
  for (const std::string& path : plan.paths) {
    execve(path.c_str(), plan.argv.data(), plan.envp);
    if (errno == EACCES) {
      error = EACCES;
    } else if (errno != ENOENT && errno != ENOTDIR) {
      return errno;
    }
  }
  return error;
}

int ChildMain(void* argument);

// The child's pid once it has executed its program, or has ended with an error
// in the plan; -1 with errno.
pid_t Clone(ChildPlan* plan) {
  return clone(ChildMain, plan->stack + kChildStack,
               CLONE_VM | CLONE_VFORK | SIGCHLD, plan);
}

// 0, or an errno.
[[gnu::no_sanitize("address", "undefined")]] int StartFirst(ChildPlan* plan) {
  const pid_t pid = Clone(plan->first);
  if (pid < 0) return errno;
  if (plan->first->error != 0) return plan->first->error;
  *std::to_chars(plan->first_pid, plan->first_pid + kPidText, pid).ptr = '\0';
  return 0;
}

// Runs in the child, in our memory, on a stack that the address sanitizer does
// not know.
[[gnu::no_sanitize("address", "undefined")]] int ChildMain(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  setsid();
  if (plan->directory != nullptr && chdir(plan->directory) < 0) {
    plan->error = errno;
    _exit(127);
  }
  if (plan->first != nullptr) {
    plan->error = StartFirst(plan);
    if (plan->error != 0) _exit(127);
  }
  plan->error = PlaceDescriptors(plan);
  if (plan->error == 0) {
    // Last, as it may be below the descriptors that were in the way.
    if (plan->file_limit != nullptr) {
      setrlimit(RLIMIT_NOFILE, plan->file_limit);
    }
    ResetSignals();
    plan->error = ExecuteFirst(*plan);
  }
  _exit(127);
}

}  // namespace

int SpawnProcess(const SpawnArgs& args, pid_t* pid) {
  const UniqueFd null_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null_fd.valid()) return errno;
  ChildPlan plan;
  int error = MakePlan(args, null_fd.get(), &plan);
  ChildPlan first;
  if (error == 0 && args.first != nullptr) {
    error = MakePlan(*args.first, null_fd.get(), &first);
    plan.first = &first;
    plan.first_pid = args.first_pid;
  }
  if (error != 0) return error;
  const pid_t child = Clone(&plan);
  if (child < 0) return errno;
  if (plan.error != 0) {
    // It has ended already, so this does not wait.
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return plan.error;
  }
  *pid = child;
  return 0;
}

}  // namespace hydra::monitor
