// `upgrade`: puts the programs that are installed now into the places of those
// that run, container by container, while the containers run on.
//
// Needs no engine: instances are found in the run directory. Single-threaded;
// several are upgraded at a time.

#ifndef HYDRA_CMD_SHIM_UPGRADE_H_
#define HYDRA_CMD_SHIM_UPGRADE_H_

#include <functional>

#include "absl/status/statusor.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"
#include "cmd/containerd-shim-hydra-v1/upgrade_options.h"
#include "cmd/containerd-shim-hydra-v1/upgrade_report.h"

namespace hydra {

// Upgrades those that the options mean, and calls `tell` for each as soon as it
// is done. The count of those that failed. As SelectInstances(), and an errno's
// status if the instances cannot be listed.
absl::StatusOr<int> UpgradeInstances(
    const UpgradeOptions& options,
    const std::function<void(const UpgradeReport&)>& tell);

// The verb: one line for each on standard output, in text or JSON; what
// concerns none of them on standard error. The exit status of the process: 0 if
// all went well, 1 if some did not or could not be found, 2 if the command line
// makes no sense.
int Upgrade(const Flags& flags);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_UPGRADE_H_
