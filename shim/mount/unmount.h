// Taking mounts away, and reading where they are.

#ifndef HYDRA_MOUNT_UNMOUNT_H_
#define HYDRA_MOUNT_UNMOUNT_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace hydra {

// Unmounts `path` and everything mounted below it, deepest first, stacked
// mounts included. An empty path and a path that does not exist (any more)
// are fine. Never lazily (no MNT_DETACH): the caller is about to delete the
// directory, and must know when something still lives in it.
//
// A mount in use is tried again for 2.5 s in all. A mount that `path` does
// not lead to, because another covers it, is left alone. FUSE mounts go the
// same way, by umount2(2), which root needs no fusermount for.
//
// Any thread; blocks. InvalidArgument for the root directory; the errno of
// umount2(2) for the deepest mount that stayed, all the others are gone then.
absl::Status UnmountRecursive(const std::string& path);

// Undoes the octal escapes (\040 and so on) of the fields in
// /proc/PID/mountinfo; see proc_pid_mountinfo(5).
std::string UnescapeMountinfo(std::string_view field);

// The mount points at or below `path` in the text of a mountinfo file, each
// once, the longest first, so that a mount comes before what it is mounted
// in. `path` is absolute and canonical.
std::vector<std::string> MountPointsUnder(std::string_view mountinfo,
                                          std::string_view path);

}  // namespace hydra

#endif  // HYDRA_MOUNT_UNMOUNT_H_
