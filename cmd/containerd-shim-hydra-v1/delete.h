// `delete`: what containerd executes when it has lost or given up a shim.
//
// It does so after every close of the shim's connection, and forgets the task
// whatever comes back: so also for a task that was deleted properly, and for
// an instance that is alive and well. Whichever it is, afterwards there is
// nothing of the instance left.

#ifndef HYDRA_CMD_SHIM_DELETE_H_
#define HYDRA_CMD_SHIM_DELETE_H_

#include "absl/status/status.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"

namespace hydra {

// Runs in a bundle, and works on the one beside it called `-id`, which as a
// rule is the same.
//
//   1. removes the container from the OCI runtime, by force;
//   2. ends the instance's monitor and its children, if it is alive: after the
//      container, so that the exit is still reaped and recorded;
//   3. unmounts what is on rootfs;
//   4. removes the instance's directory and socket;
//   5. prints a DeleteResponse: the recorded exit, or, where nobody saw one,
//      137 (SIGKILL) now.
//
// A step that fails is logged and does not stop the others: containerd leaves
// the bundle as it is if `delete` fails. An error only for names that are none
// and an answer that cannot be written. Takes well under containerd's 5 s
// unless the OCI runtime hangs; it is given 3.
absl::Status Delete(const Flags& flags);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_DELETE_H_
