// The head: see design.md, section 1.

#ifndef HYDRA_CMD_SHIM_SERVE_H_
#define HYDRA_CMD_SHIM_SERVE_H_

#include "cmd/containerd-shim-hydra-v1/flags.h"

namespace hydra {

// Serves the task API until the instance ends, the monitor goes away, or there
// has been nothing to do for a while. The monitor's link is descriptor
// link::kLinkFd. The exit status of the process.
int Serve(const Flags& flags);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_SERVE_H_
