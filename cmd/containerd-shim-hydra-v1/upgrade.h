// `upgrade`: puts the programs that are installed now into the places of those
// that run, container by container, while the containers run on.
//
// Needs no engine: instances are found in the run directory. One line for each
// on standard output as soon as it is done, in text or JSON; what concerns none
// of them on standard error. Single-threaded; several are upgraded at a time.

#ifndef HYDRA_CMD_SHIM_UPGRADE_H_
#define HYDRA_CMD_SHIM_UPGRADE_H_

#include "cmd/containerd-shim-hydra-v1/flags.h"

namespace hydra {

// The exit status of the process: 0 if all went well, 1 if some did not or
// could not be found, 2 if the command line makes no sense.
int UpgradeInstances(const Flags& flags);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_UPGRADE_H_
