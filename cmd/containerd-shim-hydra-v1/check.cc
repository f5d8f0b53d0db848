#include "cmd/containerd-shim-hydra-v1/check.h"

#include <unistd.h>

#include <string>

#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "shim/base/status.h"
#include "shim/base/version.h"
#include "shim/state/paths.h"
#include "shim/state/record.h"

namespace hydra {

absl::Status Check(const Flags& flags) {
  HYDRA_ASSIGN_OR_RETURN(
      const InstancePaths paths,
      PathsOf({flags.address, flags.container_namespace, flags.id}));
  const absl::Status record = RecordFile(paths.state).Load().status();
  // Before Create there is none.
  if (!record.ok() && !absl::IsNotFound(record)) return record;
  return WriteOutput(STDOUT_FILENO, std::string("ok ") + Version() + "\n");
}

}  // namespace hydra
