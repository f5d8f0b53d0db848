// What the verbs that stay with a process have in common. Main thread.

#ifndef HYDRA_CMD_HYDRA_FOREGROUND_H_
#define HYDRA_CMD_HYDRA_FOREGROUND_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "cmd/hydra/client.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/session.h"
#include "cmd/hydra/verb.h"

namespace hydra::command {

// What the invocation says of it; InvalidArgument.
absl::StatusOr<Session::Options> SessionOptions(const Invocation& invocation);

// Tells that a process could not be started, and why. The exit status: 127 if
// its program is not there, 126 if it cannot be executed, else 125.
int TellStartFailure(const Invocation& invocation, const absl::Status& status);

// Tells how it ended, or that it runs on. The exit status.
absl::StatusOr<int> FinishSession(const Invocation& invocation,
                                  const FoundInstance& instance,
                                  const Session::End& end);

// Stays with the container that `name` means, from now on, or with --replay
// from before. `begin` is called when its output is followed.
absl::StatusOr<int> AttachTo(
    const Invocation& invocation, const std::string& name,
    const std::function<absl::StatusOr<Json>(Client& client)>& begin);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_FOREGROUND_H_
