// Where a mount goes: a place below the rootfs, held as a descriptor.
//
// An O_PATH descriptor names the place whatever happens to the path
// meanwhile, and mount(2) takes it by way of /proc. It also pins the mount
// it was opened on: close it before that mount is to be unmounted without
// MNT_DETACH.
//
// Any thread.

#ifndef HYDRA_MOUNT_TARGET_H_
#define HYDRA_MOUNT_TARGET_H_

#include <string>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra {

// Opens what `target` names inside `rootfs`, taking `rootfs` for `/` in every
// symlink and `..` on the way (openat2(2), RESOLVE_IN_ROOT, Linux 5.6; not
// needed for an empty `target`). What is mounted there is entered.
//
// The errors of open(2); NotFound when the target does not exist.
absl::StatusOr<UniqueFd> OpenTarget(const std::string& rootfs,
                                    const std::string& target);

// Opens the place of `fd` again, now as the root of the mount that was put on
// it last. The errors of open(2).
absl::StatusOr<UniqueFd> OpenTop(int fd);

// A path by which the calling thread reaches `fd`, for system calls that take
// no descriptor. Good while `fd` is open.
std::string FdPath(int fd);

// The absolute path of `fd` as it is now, without symlinks.
absl::StatusOr<std::string> PathOf(int fd);

// The id of the mount that `fd` is on, the first field in
// /proc/PID/mountinfo. Asks nothing of the filesystem, which may hang.
absl::StatusOr<int> MountIdOf(int fd);

}  // namespace hydra

#endif  // HYDRA_MOUNT_TARGET_H_
