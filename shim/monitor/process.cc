#include "shim/monitor/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <new>
#include <vector>

#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

constexpr int kLargeBlock = 16 << 10;

std::vector<int> OpenFrom(int first) {
  std::vector<int> open_fds;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return open_fds;
  while (const dirent* entry = readdir(directory)) {
    const int fd = atoi(entry->d_name);
    if (fd >= first && fd != dirfd(directory)) open_fds.push_back(fd);
  }
  closedir(directory);
  return open_fds;
}

void CloseFrom(int first) {
  if (close_range(static_cast<unsigned>(first), ~0u, 0) == 0) return;
  // Before Linux 5.9.
  for (int fd : OpenFrom(first)) close(fd);
}

// Out of memory is a state that passes, and ending would be worse than waiting
// (operator new calls this until it succeeds).
void WaitForMemory() {
  const timespec pause = {0, 10'000'000};
  nanosleep(&pause, nullptr);
}

}  // namespace

void PrepareDescriptors(int first_unwanted_fd) {
  for (int fd = 0; fd <= 2; ++fd) {
    // The lowest free number, so each gap is filled in turn.
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) break;
  }
  CloseFrom(first_unwanted_fd);
  for (int fd = 3; fd < first_unwanted_fd; ++fd) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
}

void CloseOnExecFrom(int first_fd) {
  if (close_range(static_cast<unsigned>(first_fd), ~0u, CLOSE_RANGE_CLOEXEC) ==
      0) {
    return;
  }
  // Before Linux 5.11.
  for (int fd : OpenFrom(first_fd)) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void PrepareProcess() {
  if (getsid(0) != getpid() && setsid() < 0) {
    LogWarning("setsid, ignoring: %s", ErrorName(errno));
  }
  prctl(PR_SET_NAME, "hydra-monitor");
  unsetenv("NOTIFY_SOCKET");
  // Fixed, because the default grows with the largest block ever freed, and
  // what lies below it is never given back (mallopt(3)).
  mallopt(M_MMAP_THRESHOLD, kLargeBlock);
  mallopt(M_TRIM_THRESHOLD, kLargeBlock);
  std::set_new_handler(WaitForMemory);
}

std::string OwnProgram() {
  char buffer[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", buffer, sizeof(buffer));
  return std::string(buffer, n > 0 ? static_cast<size_t>(n) : 0);
}

}  // namespace hydra::monitor
