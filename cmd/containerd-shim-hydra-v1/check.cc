#include "cmd/containerd-shim-hydra-v1/check.h"

#include <unistd.h>

#include <string>

#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "shim/base/status.h"
#include "shim/base/version.h"
#include "shim/state/paths.h"
#include "shim/state/record.h"

namespace hydra {
namespace {

constexpr int kAttempts = 5;

}  // namespace

absl::Status Check(const Flags& flags) {
  HYDRA_ASSIGN_OR_RETURN(
      const InstancePaths paths,
      PathsOf({flags.address, flags.container_namespace, flags.id}));
  absl::Status record;
  // A head is at work, and may save twice while this reads: then neither slot
  // is whole, but only then.
  for (int i = 0; i < kAttempts; ++i) {
    record = RecordFile(paths.state).Load().status();
    if (!absl::IsDataLoss(record)) break;
  }
  // Before Create there is none.
  if (!record.ok() && !absl::IsNotFound(record)) return record;
  return WriteOutput(STDOUT_FILENO, std::string("ok ") + Version() + "\n");
}

}  // namespace hydra
