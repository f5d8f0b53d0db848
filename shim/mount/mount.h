// The rootfs of a container: making it from the mounts that the engine asks
// for in Create, and taking it away again.
//
// Any thread. The functions block for as long as filesystems take, so they
// are called from a worker. They change nothing that the process's threads
// have in common (working directory, umask, signals), and leave no
// descriptor, thread or child behind. The calling thread's mount namespace
// must be the process's.

#ifndef HYDRA_MOUNT_MOUNT_H_
#define HYDRA_MOUNT_MOUNT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "shim/mount/unmount.h"  // UnmountRecursive, a part of this interface.

namespace hydra {

// containerd.types.Mount.
struct Mount {
  // A filesystem, "bind", or "fuse.X" and "fuse3.X" for a FUSE program.
  std::string type;
  // A device, a directory, a file; what the filesystem makes of it.
  std::string source;
  // A path inside the rootfs that exists by the time its turn comes; empty
  // for the rootfs itself. Symlinks in it do not lead out of the rootfs.
  std::string target;
  // See options.h.
  std::vector<std::string> options;
};

// Mounts `mounts` in order on `rootfs`, which is made (mode 0711) unless it
// exists. Every mount that succeeds adds one mount to the namespace, and its
// descendants for `rbind`.
//
// On failure none of `mounts` stays mounted; `rootfs` stays. The code is
// always Unknown, since a NotFound or AlreadyExists of a system call would be
// taken for a statement about the task; the text begins with the mount that
// failed: `mount source: "overlay", target: "/b/rootfs", fstype: overlay: `.
//
// Deviations from containerd's core/mount: a bind mount that is both `ro` and
// idmapped is idmapped too, and idmapping replaces a mount where containerd
// stacks a second one on it. Options longer than a page are never cut.
absl::Status MountRootfs(const std::vector<Mount>& mounts,
                         const std::string& rootfs);

}  // namespace hydra

#endif  // HYDRA_MOUNT_MOUNT_H_
