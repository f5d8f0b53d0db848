// What may be done to a process in which state: containerd's state machine of
// a task, with containerd's words for what may not.
//
// Pure; any thread.

#ifndef HYDRA_TASK_PROCESS_STATE_H_
#define HYDRA_TASK_PROCESS_STATE_H_

#include "absl/status/status.h"
#include "containerd/v1/types.pb.h"
#include "hydra/state.pb.h"

namespace hydra {

enum class TaskOperation {
  kStart,
  kDelete,
  kExec,
  kPause,
  kResume,
  kUpdate,
  kCheckpoint,
  kResize,
};
inline constexpr int kTaskOperationCount = 8;

// OK, or Unknown with the text that containerd's own shim gives. For the
// container's init process.
absl::Status CheckInit(state::Phase phase, TaskOperation operation);

// The same for an exec; only kStart, kDelete and kResize are about it.
absl::Status CheckExec(state::Phase phase, TaskOperation operation);

// As State reports it, but for PAUSING, which is no phase.
containerd::v1::types::Status StatusOf(state::Phase phase);

}  // namespace hydra

#endif  // HYDRA_TASK_PROCESS_STATE_H_
