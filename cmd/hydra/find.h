// Which containers a person means. Main thread.

#ifndef HYDRA_CMD_HYDRA_FIND_H_
#define HYDRA_CMD_HYDRA_FIND_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/hydra/client.h"
#include "cmd/hydra/verb.h"
#include "shim/state/instances.h"
#include "shim/state/paths.h"

namespace hydra::command {

// The one that `name` means: an id, the beginning of one, NAMESPACE/ID or
// ENGINE/NAMESPACE/ID; an id that is the whole of it wins. NotFound;
// InvalidArgument, with the candidates, if there are several; PermissionDenied:
// it is another user's.
absl::StatusOr<FoundInstance> FindContainer(const Invocation& invocation,
                                            const std::string& name);

// To the one that FindContainer finds, with --timeout for each call. With
// `loop`, or with a loop of its own.
absl::StatusOr<std::unique_ptr<Client>> ClientOf(const Invocation& invocation,
                                                 const std::string& name,
                                                 EventLoop* loop = nullptr);

// All of the machine, or of --namespace.
absl::StatusOr<std::vector<FoundInstance>> FindAll(
    const Invocation& invocation);

// Where all of it is.
absl::StatusOr<InstancePaths> PathsOfInstance(const FoundInstance& instance);

// --timeout: zero if it was not given. InvalidArgument.
absl::StatusOr<std::chrono::milliseconds> TimeoutOf(
    const Invocation& invocation);

// "30", "30s", "500ms", "2m", "1h". InvalidArgument, with `what`.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(
    const std::string& what, const std::string& text);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_FIND_H_
