// Idmapped mounts: a tree whose owners are shifted by a user namespace.
//
// See mount_setattr(2); Linux 5.12, and 5.19 for what overlay builds on. The
// filesystem has to support it too.
//
// Any thread.

#ifndef HYDRA_MOUNT_IDMAP_H_
#define HYDRA_MOUNT_IDMAP_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra {

// Turns "CONTAINER:HOST:SIZE[,...]" into what is written to
// /proc/PID/{uid,gid}_map. InvalidArgument when it is not of that form.
absl::StatusOr<std::string> ParseIdMap(std::string_view map);

// A user namespace with the given maps, kept alive by the descriptor alone.
//
// Only a process can have one made, so one is born for the purpose, and
// is gone when this returns; it is not seen by waitpid(-1), since it sends no
// SIGCHLD, and dies by itself if the calling process is killed meanwhile.
//
// InvalidArgument for maps, PermissionDenied without CAP_SYS_ADMIN,
// CAP_SETUID and CAP_SETGID, ResourceExhausted past
// user.max_user_namespaces.
absl::StatusOr<UniqueFd> CreateUserNamespace(const std::string& uidmap,
                                             const std::string& gidmap);

// A copy of the mount that `fd` is in, from `fd` down and with the mounts
// below, attached nowhere: it vanishes with its descriptor.
absl::StatusOr<UniqueFd> CloneTree(int fd);

// Has the owners of every mount in `tree`, from CloneTree, shifted by
// `user_namespace`, makes the mounts private, and read-only when asked.
absl::Status ShiftOwners(int tree, int user_namespace, bool read_only);

// Mounts `tree` on top of what is at `target_fd`. From then on `tree` is a
// descriptor of the mounted root.
absl::Status AttachTree(int tree, int target_fd);

}  // namespace hydra

#endif  // HYDRA_MOUNT_IDMAP_H_
