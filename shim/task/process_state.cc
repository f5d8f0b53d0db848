#include "shim/task/process_state.h"

#include <string>

#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr int kPhaseCount = state::Phase_ARRAYSIZE;

// The reason why not, or null. Rows are phases, columns TaskOperation, in the
// order of their declarations. A container whose Create is in progress is not
// yet visible: it has no row of its own to be asked for.
constexpr const char* kInit[kPhaseCount][kTaskOperationCount] = {
    // PHASE_CREATING
    {"cannot start a creating process", "cannot delete a creating process",
     "cannot exec in a creating state", "cannot pause task in creating state",
     "cannot resume task in creating state",
     "cannot update a task in creating state",
     "cannot checkpoint a task in creating state",
     "cannot resize a creating container"},
    // PHASE_CREATED
    {nullptr, nullptr, nullptr, "cannot pause task in created state",
     "cannot resume task in created state", nullptr,
     "cannot checkpoint a task in created state", nullptr},
    // PHASE_CREATED_CHECKPOINT
    {nullptr, nullptr, "cannot exec in a created state",
     "cannot pause task in created state",
     "cannot resume task in created state", nullptr,
     "cannot checkpoint a task in created state", nullptr},
    // PHASE_RUNNING
    {"cannot start a running process", "cannot delete a running process",
     nullptr, nullptr, "cannot resume a running process", nullptr, nullptr,
     nullptr},
    // PHASE_PAUSED
    {"cannot start a paused process", "cannot delete a paused process",
     "cannot exec in a paused state", "cannot pause a paused container",
     nullptr, nullptr, nullptr, nullptr},
    // PHASE_STOPPED
    {"cannot start a stopped process", nullptr,
     "cannot exec in a stopped state", "cannot pause a stopped container",
     "cannot resume a stopped container", "cannot update a stopped container",
     "cannot checkpoint a stopped container",
     "cannot resize a stopped container"},
};

}  // namespace

absl::Status CheckInit(state::Phase phase, TaskOperation operation) {
  // Open enum: a newer head may have written a phase that we do not know.
  if (!state::Phase_IsValid(phase)) {
    return Internal("process in unknown phase " + std::to_string(phase));
  }
  const char* reason = kInit[phase][static_cast<int>(operation)];
  return reason == nullptr ? absl::OkStatus() : Unknown(reason);
}

absl::Status CheckExec(state::Phase phase, TaskOperation operation) {
  const bool running =
      phase == state::PHASE_RUNNING || phase == state::PHASE_PAUSED;
  const bool stopped = phase == state::PHASE_STOPPED;
  switch (operation) {
    case TaskOperation::kStart:
      if (running) return Unknown("cannot start a running process");
      if (stopped) return Unknown("cannot start a stopped process");
      return absl::OkStatus();
    case TaskOperation::kDelete:
      if (running) return Unknown("cannot delete a running process");
      return absl::OkStatus();
    case TaskOperation::kResize:
      if (stopped) return Unknown("cannot resize a stopped container");
      return absl::OkStatus();
    case TaskOperation::kExec:
    case TaskOperation::kPause:
    case TaskOperation::kResume:
    case TaskOperation::kUpdate:
    case TaskOperation::kCheckpoint:
      break;
  }
  return Internal("not an operation of an exec");
}

containerd::v1::types::Status StatusOf(state::Phase phase) {
  switch (phase) {
    case state::PHASE_CREATING:
    case state::PHASE_CREATED:
    case state::PHASE_CREATED_CHECKPOINT:
      return containerd::v1::types::CREATED;
    case state::PHASE_RUNNING:
      return containerd::v1::types::RUNNING;
    case state::PHASE_PAUSED:
      return containerd::v1::types::PAUSED;
    case state::PHASE_STOPPED:
      return containerd::v1::types::STOPPED;
    default:
      return containerd::v1::types::UNKNOWN;
  }
}

}  // namespace hydra
