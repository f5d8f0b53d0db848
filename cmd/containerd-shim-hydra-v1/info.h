// `-v` and `-info`: what this runtime is and can do.

#ifndef HYDRA_CMD_SHIM_INFO_H_
#define HYDRA_CMD_SHIM_INFO_H_

#include "absl/status/status.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"

namespace hydra {

// Prints name and version, for people.
absl::Status PrintVersion();

// Prints a containerd.types.RuntimeInfo: our name and version, the runtime
// options that came on standard input, and what `<OCI runtime> features`
// prints, left out if it knows no such command. NotFound if there is no such
// OCI runtime; InvalidArgument for options that cannot be decoded.
absl::Status PrintInfo();

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_INFO_H_
