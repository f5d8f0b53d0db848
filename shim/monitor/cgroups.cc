#include "shim/monitor/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>

namespace hydra::monitor {
namespace {

// The calling thread of v1, which is cheaper than its process, or, on v2, the
// process.
bool Enter(const std::string& directory) {
  int fd = open((directory + "/tasks").c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) {
    fd = open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  }
  if (fd < 0) return false;
  const bool entered = write(fd, "0", 1) == 1;
  close(fd);
  return entered;
}

}  // namespace

void LeaveCgroups(const std::vector<const char*>& directories) {
  for (const char* directory : directories) {
    // Not ours to leave, if systemd has moved us on.
    if (rmdir(directory) == 0 || errno != EBUSY) continue;
    if (Enter(std::string(directory) + "/..")) rmdir(directory);
  }
}

}  // namespace hydra::monitor
