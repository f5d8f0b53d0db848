// `check`: whether this program could be an instance's head.
//
// Executed by the monitor of an instance that is to be upgraded to this
// program: see "Upgrade" in shim/link/protocol.h. Single-threaded.

#ifndef HYDRA_CMD_SHIM_CHECK_H_
#define HYDRA_CMD_SHIM_CHECK_H_

#include "absl/status/status.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"

namespace hydra {

// Prints "ok VERSION" if the instance's record can be read, or if there is
// none. Else RecordFile::Load's error. Changes nothing.
absl::Status Check(const Flags& flags);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_CHECK_H_
