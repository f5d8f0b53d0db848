// `start`: what containerd executes for each new container.
//
// Makes the instance's socket, starts hydra-monitor with it, and prints where
// it listens. From then on containerd talks to the monitor. When this process
// exits, the monitor is init's child.

#ifndef HYDRA_CMD_SHIM_START_H_
#define HYDRA_CMD_SHIM_START_H_

#include "absl/status/status.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"

namespace hydra {

// Runs in the bundle, with the engine's parameters on standard input. If the
// instance is alive already, its address is printed and nothing started.
//
// Standard error stays empty on success: the engine reads it and standard
// output as one. On an error nothing is printed, and nothing is left: no
// process, no file but what was in the bundle before.
absl::Status Start(const Flags& flags);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_START_H_
