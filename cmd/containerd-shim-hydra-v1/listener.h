// An instance's place under /run, and the socket that it listens on.
//
// Single-threaded: the umask is changed for a moment.

#ifndef HYDRA_CMD_SHIM_LISTENER_H_
#define HYDRA_CMD_SHIM_LISTENER_H_

#include <string>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"
#include "shim/state/paths.h"

namespace hydra {

// Whether something listens at `path`: a connection is tried, and closed. It
// never blocks: a listener whose queue is full is alive too.
bool IsAlive(const std::string& path);

// Makes the instance's directory and a listening socket, mode 0600, that does
// not block. What a dead instance of the same name left is removed first; a
// monitor of it that is on its way out is given a second, and then killed.
// Of several that want one name at a time one gets it.
//
// An invalid descriptor: an instance of this name is alive, and nothing was
// touched. On an error nothing is left. Aborted if others kept taking the
// place, or kept it locked; else an errno's status.
absl::StatusOr<UniqueFd> MakeListener(const InstancePaths& paths);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_LISTENER_H_
