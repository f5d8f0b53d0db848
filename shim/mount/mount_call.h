// One call of mount(2) that makes a new mount or changes one with its data.
//
// Any thread; blocks for as long as the filesystem takes.

#ifndef HYDRA_MOUNT_MOUNT_CALL_H_
#define HYDRA_MOUNT_MOUNT_CALL_H_

#include <string>

#include "absl/status/status.h"

namespace hydra {

struct MountCall {
  std::string source;
  // An O_PATH descriptor that the caller keeps open. A new mount goes on top
  // of all that is stacked there.
  int target_fd = -1;
  std::string type;
  unsigned long flags = 0;
  std::string data;
};

// The errno of mount(2), with flags and data in the text.
absl::Status Perform(const MountCall& call);

// Performs `call` with `directory_fd` as the working directory, which is what
// relative paths in `data` start from. It runs on a thread that ends with it
// and shares the working directory with no other (unshare(2), CLONE_FS), so
// the process's own does not change.
absl::Status PerformFrom(int directory_fd, const MountCall& call);

// Changes the mount whose root `fd` is: `flags` holds MS_REMOUNT or a
// propagation type.
absl::Status ChangeMount(int fd, unsigned long flags);

}  // namespace hydra

#endif  // HYDRA_MOUNT_MOUNT_CALL_H_
