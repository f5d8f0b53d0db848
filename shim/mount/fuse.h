// FUSE mounts, which a program in user space makes: mount.fuse(8).
//
// Any thread; blocks until the program has put itself into the background.

#ifndef HYDRA_MOUNT_FUSE_H_
#define HYDRA_MOUNT_FUSE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace hydra {

// The program for a mount type and the type that it is to be told.
struct FuseHelper {
  std::string program;
  std::string type;
};

// "fuse.X" is for mount.fuse, "fuse3.X" for mount.fuse3; any other type is
// for mount(2).
std::optional<FuseHelper> FindFuseHelper(const std::string& type);

// Runs `PROGRAM SOURCE TARGET -o OPTION... -t TYPE`, found in PATH, with
// default signal dispositions. `target` is an absolute path.
//
// NotFound without the program; Unknown, with what it printed, when it fails;
// DeadlineExceeded when it runs for more than two minutes, after which it is
// killed. It may have mounted in any of these cases but the first.
absl::Status RunFuseHelper(const FuseHelper& helper, const std::string& source,
                           const std::string& target,
                           const std::vector<std::string>& options);

}  // namespace hydra

#endif  // HYDRA_MOUNT_FUSE_H_
