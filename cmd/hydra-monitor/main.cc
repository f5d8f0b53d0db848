// hydra-monitor: the supervisor of one container. See shim/monitor/monitor.h.
//
//   hydra-monitor --directory DIR --socket PATH --head BINARY [--log-fd N]
//                 [--cgroup DIR]... -- HEAD_ARGUMENT...
//
// Executed by `containerd-shim-hydra-v1 start`, never by hand. Descriptor 3 is
// the listening socket; 4 gets one NUL byte once it is served, or the text of
// an error, and is closed then. Standard error, or --log-fd, takes the log.

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "shim/monitor/cgroups.h"
#include "shim/monitor/log.h"
#include "shim/monitor/monitor.h"
#include "shim/monitor/process.h"

namespace {

using hydra::monitor::ErrorName;
using hydra::monitor::Monitor;
using hydra::monitor::MonitorOptions;

constexpr int kListenFd = 3;
constexpr int kReadyFd = 4;

[[noreturn]] void Fail(const char* what, const char* reason) {
  dprintf(kReadyFd, "hydra-monitor: %s: %s", what, reason);
  hydra::monitor::LogError("%s: %s", what, reason);
  _exit(1);
}

MonitorOptions ParseArguments(int argc, char** argv) {
  static constexpr option kOptions[] = {
      {"directory", required_argument, nullptr, 'd'},
      {"socket", required_argument, nullptr, 's'},
      {"head", required_argument, nullptr, 'h'},
      {"log-fd", required_argument, nullptr, 'l'},
      {"cgroup", required_argument, nullptr, 'c'},
      {nullptr, 0, nullptr, 0}};
  MonitorOptions options;
  options.listen_fd = kListenFd;
  const char* head = nullptr;
  int c;
  opterr = 0;
  while ((c = getopt_long(argc, argv, "+", kOptions, nullptr)) != -1) {
    if (c == 'd') options.directory = optarg;
    if (c == 's') options.socket_path = optarg;
    if (c == 'h') head = optarg;
    if (c == 'c') options.cgroups.push_back(optarg);
    if (c == 'l' && dup2(atoi(optarg), STDERR_FILENO) < 0) {
      Fail("--log-fd", ErrorName(errno));
    }
    if (c == '?') Fail("arguments", "unknown option or missing value");
  }
  if (options.directory == nullptr || options.socket_path == nullptr ||
      head == nullptr) {
    Fail("arguments", "--directory, --socket and --head are needed");
  }
  options.head_argv.push_back(head);
  for (int i = optind; i < argc; ++i) options.head_argv.push_back(argv[i]);
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  MonitorOptions options = ParseArguments(argc, argv);
  const std::vector<const char*> cgroups = options.cgroups;
  hydra::monitor::PrepareProcess(kReadyFd + 1);
  hydra::monitor::OpenLog(options.socket_path);
  {
    Monitor monitor(std::move(options));
    const char* what = nullptr;
    const int error = monitor.Open(&what);
    if (error != 0) Fail(what, ErrorName(error));
    const bool told = write(kReadyFd, "", 1) == 1;
    close(kReadyFd);
    if (!told) hydra::monitor::LogWarning("nobody waited for the start");
    monitor.Run();
  }
  // With everything closed: engines wait for that, and not for this.
  hydra::monitor::LeaveCgroups(cgroups);
  return 0;
}
