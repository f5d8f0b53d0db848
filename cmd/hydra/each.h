// Verbs that do one thing to each of several containers. What it gives is
// printed after the container's identity or, for people, the name that they
// gave, in the order of the arguments. An error does not keep the others from
// their turn. The exit status is 0, or 1 if one failed.
//
// Main thread.

#ifndef HYDRA_CMD_HYDRA_EACH_H_
#define HYDRA_CMD_HYDRA_EACH_H_

#include <functional>

#include "absl/status/statusor.h"
#include "cmd/hydra/client.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verb.h"

namespace hydra::command {

// "namespace" and "id", which every object about a container begins with.
Json IdentityOf(const FoundInstance& instance);

// Calls `act` for each of the invocation's arguments, one after the other.
absl::StatusOr<int> ForEachContainer(
    const Invocation& invocation,
    const std::function<absl::StatusOr<Json>(Client& client)>& act);

// The same for what takes its time, which many take at once: `act` is begun for
// the next hundred before one is waited for. `what` it does is shown to people:
// "stopping".
absl::StatusOr<int> ForEachAtOnce(
    const Invocation& invocation, const std::string& what,
    const std::function<Async<absl::StatusOr<Json>>(Client& client)>& act);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_EACH_H_
