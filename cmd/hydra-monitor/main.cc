// hydra-monitor: the supervisor of one container. See shim/monitor/monitor.h.
//
//   hydra-monitor [MODE] --directory DIR --socket PATH --head BINARY
//                 [--log-fd N] [--cgroup DIR]... [--head-pid PID]
//                 -- HEAD_ARGUMENT...
//
// Executed by `containerd-shim-hydra-v1 start`, never by hand. Descriptor 3 is
// the listening socket; 4 gets one NUL byte once it is served, or the text of
// an error, and is closed then. Standard error, or --log-fd, takes the log.
// With --head-pid the first head is a child of ours already, and 5 is our end
// of the link to it.
//
// Executed by a monitor that is being upgraded, by one of another version
// perhaps, so that none of this may change its meaning
// (shim/monitor/upgrade.h):
//   --check-state N
//       whether this program can take over the state in descriptor N: prints
//       "ok VERSION" and exits with 0, or prints why not. Needs nothing else of
//       what a monitor has, and changes nothing.
//   --resume N --previous M
//       takes over, or executes the program in descriptor M again.
//   --resume N --failed ERRNO
//       has come back because of that.

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vector>

#include "shim/base/version.h"
#include "shim/monitor/cgroups.h"
#include "shim/monitor/log.h"
#include "shim/monitor/monitor.h"
#include "shim/monitor/process.h"
#include "shim/monitor/start.h"
#include "shim/monitor/state.h"

namespace {

using hydra::monitor::ErrorName;
using hydra::monitor::kHeadFd;
using hydra::monitor::kListenFd;
using hydra::monitor::kReadyFd;
using hydra::monitor::Monitor;
using hydra::monitor::MonitorOptions;

struct Arguments {
  MonitorOptions options;
  int check_fd = -1;
  int resume_fd = -1;
  int previous_fd = -1;
  int failed = 0;

  bool is_first() const { return check_fd < 0 && resume_fd < 0; }
};

[[noreturn]] void Fail(const Arguments& arguments, const char* what,
                       const char* reason) {
  const int fd = arguments.is_first() ? kReadyFd : STDERR_FILENO;
  dprintf(fd, "hydra-monitor: %s: %s", what, reason);
  if (arguments.is_first()) hydra::monitor::LogError("%s: %s", what, reason);
  _exit(1);
}

Arguments ParseArguments(int argc, char** argv) {
  static constexpr option kOptions[] = {
      {"directory", required_argument, nullptr, 'd'},
      {"socket", required_argument, nullptr, 's'},
      {"head", required_argument, nullptr, 'h'},
      {"log-fd", required_argument, nullptr, 'l'},
      {"cgroup", required_argument, nullptr, 'g'},
      {"head-pid", required_argument, nullptr, 'i'},
      {"check-state", required_argument, nullptr, 'c'},
      {"resume", required_argument, nullptr, 'r'},
      {"previous", required_argument, nullptr, 'p'},
      {"failed", required_argument, nullptr, 'f'},
      {nullptr, 0, nullptr, 0}};
  Arguments arguments;
  MonitorOptions& options = arguments.options;
  const char* head = nullptr;
  int c;
  opterr = 0;
  while ((c = getopt_long(argc, argv, "+", kOptions, nullptr)) != -1) {
    if (c == 'd') options.directory = optarg;
    if (c == 's') options.socket_path = optarg;
    if (c == 'h') head = optarg;
    if (c == 'g') options.cgroups.push_back(optarg);
    if (c == 'i') options.head_pid = atoi(optarg);
    if (c == 'c') arguments.check_fd = atoi(optarg);
    if (c == 'r') arguments.resume_fd = atoi(optarg);
    if (c == 'p') arguments.previous_fd = atoi(optarg);
    if (c == 'f') arguments.failed = atoi(optarg);
    if (c == 'l' && dup2(atoi(optarg), STDERR_FILENO) < 0) {
      Fail(arguments, "--log-fd", ErrorName(errno));
    }
    if (c == '?') Fail(arguments, "arguments", "unknown, or missing value");
  }
  if (options.directory == nullptr || options.socket_path == nullptr ||
      head == nullptr) {
    Fail(arguments, "arguments", "--directory, --socket and --head are needed");
  }
  if (arguments.is_first()) options.listen_fd = kListenFd;
  if (options.head_pid > 0) options.head_fd = kHeadFd;
  options.head_argv.push_back(head);
  for (int i = optind; i < argc; ++i) options.head_argv.push_back(argv[i]);
  return arguments;
}

void Open(const Arguments& arguments, Monitor* monitor) {
  const char* what = nullptr;
  const int error = monitor->Open(&what);
  if (error != 0) Fail(arguments, what, ErrorName(error));
  const bool told = write(kReadyFd, "", 1) == 1;
  close(kReadyFd);
  if (!told) hydra::monitor::LogWarning("nobody waited for the start");
}

int CheckState(const Arguments& arguments) {
  Monitor monitor(arguments.options);
  uint64_t oldest = 0;
  const int error = monitor.Check(arguments.check_fd, &oldest);
  if (error == 0) {
    printf("ok %s\n", hydra::Version());
    return 0;
  }
  if (oldest > hydra::monitor::kStateVersion) {
    printf("the state needs format %llu, version %s reads up to %llu\n",
           static_cast<unsigned long long>(oldest), hydra::Version(),
           static_cast<unsigned long long>(hydra::monitor::kStateVersion));
  } else {
    printf("the state cannot be read: %s\n", ErrorName(error));
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = ParseArguments(argc, argv);
  if (arguments.check_fd >= 0) return CheckState(arguments);
  if (arguments.is_first()) {
    const bool has_head = arguments.options.head_fd >= 0;
    hydra::monitor::PrepareDescriptors((has_head ? kHeadFd : kReadyFd) + 1);
  }
  hydra::monitor::PrepareProcess();
  hydra::monitor::OpenLog(arguments.options.socket_path);
  {
    Monitor monitor(arguments.options);
    if (arguments.is_first()) {
      Open(arguments, &monitor);
    } else {
      const int error = monitor.Resume(arguments.resume_fd,
                                       arguments.previous_fd, arguments.failed);
      if (error != 0) Fail(arguments, "resume", ErrorName(error));
    }
    monitor.Run();
  }
  // With everything closed: engines wait for that, and not for this.
  hydra::monitor::LeaveCgroups(arguments.options.cgroups);
  return 0;
}
