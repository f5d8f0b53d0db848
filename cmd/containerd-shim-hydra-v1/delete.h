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
// Does what RemoveRemains() does, and prints a DeleteResponse with the exit
// that it gives.
//
// What fails is logged, and no error: containerd leaves the bundle as it is if
// `delete` fails. An error only for names that are none and an answer that
// cannot be written.
absl::Status Delete(const Flags& flags);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_DELETE_H_
