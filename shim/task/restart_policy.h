// Whether a container that has ended is started again, and when: by the policy
// of a container that no engine has. An engine has policies of its own.
//
// Loop thread only.

#ifndef HYDRA_TASK_RESTART_POLICY_H_
#define HYDRA_TASK_RESTART_POLICY_H_

#include <chrono>
#include <optional>

#include "hydra/state.pb.h"

namespace hydra {

class Instance;

// How long to wait until the next start, or nothing if there is to be none:
// 100 ms after the first failure, then twice as long each time, at most a
// minute. `native.failures` counts; a run of ten seconds begins it anew.
std::optional<std::chrono::milliseconds> DelayOfNextStart(
    state::Native* native, uint32_t exit_status, std::chrono::nanoseconds ran);

// To be called when the init has ended and was not replaced on purpose. Puts
// the time of the next start into the record, if there is to be one, and queues
// the event that tells of it. Nothing is saved.
void PlanNextStart(Instance* instance);

}  // namespace hydra

#endif  // HYDRA_TASK_RESTART_POLICY_H_
