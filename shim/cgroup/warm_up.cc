#include "shim/cgroup/warm_up.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/cgroup/cgroup.h"

namespace hydra {

void WarmUpCgroupMigration() {
  const absl::StatusOr<Cgroup> own = Cgroup::OfProcess(getpid());
  if (!own.ok()) {
    LogDebug("warm up cgroup migration, ignoring: ", Message(own.status()));
    return;
  }
  const auto& directories = own->paths().directories;
  auto chosen = directories.begin();
  // Its attach does the most work of all.
  if (chosen->first == "cpuset" && directories.size() > 1) ++chosen;
  const std::string path = chosen->second + "/cgroup.procs";
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || write(fd.get(), "0", 1) < 0) {
    LogDebug("write ", path, ", ignoring: errno ", errno);
  }
}

}  // namespace hydra
