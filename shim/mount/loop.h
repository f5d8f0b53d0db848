// Loop devices: a file as a block device, for the mount option `loop`.
//
// See loop(4). Any thread; may block for about three seconds when many
// processes attach at once.

#ifndef HYDRA_MOUNT_LOOP_H_
#define HYDRA_MOUNT_LOOP_H_

#include <string>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra {

struct LoopDevice {
  // Keeps the device attached. The kernel detaches it by itself
  // (LO_FLAGS_AUTOCLEAR) once this is closed and nothing has it mounted, so
  // it is closed after mount(2).
  UniqueFd fd;
  std::string path;
};

struct LoopParams {
  bool read_only = false;
  bool direct_io = false;
};

// Attaches `backing_file` to a free device.
//
// NotFound or PermissionDenied for the file or for /dev/loop-control;
// otherwise the errno of the ioctl that failed. Another process that takes
// the free device first is met by trying the next, a bounded number of times;
// after that the error is that of EBUSY. Nothing stays attached on failure.
absl::StatusOr<LoopDevice> AttachLoop(const std::string& backing_file,
                                      const LoopParams& params);

}  // namespace hydra

#endif  // HYDRA_MOUNT_LOOP_H_
