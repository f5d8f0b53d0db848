#include "shim/mount/loop.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr char kLoopControl[] = "/dev/loop-control";
constexpr int kAttempts = 100;
constexpr long kMaxBackOffMs = 50;
constexpr long kNsPerMs = 1'000'000;

// The clock's low digits scatter rivals well enough.
void BackOff(int attempt) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const long limit = std::min(10L * (attempt + 1), kMaxBackOffMs) * kNsPerMs;
  const timespec pause = {0, (now.tv_nsec * 31 + getpid()) % limit};
  nanosleep(&pause, nullptr);
}

loop_info64 MakeInfo(const std::string& backing_file,
                     const LoopParams& params) {
  loop_info64 info = {};
  backing_file.copy(reinterpret_cast<char*>(info.lo_file_name),
                    sizeof(info.lo_file_name) - 1);
  info.lo_flags = LO_FLAGS_AUTOCLEAR;
  if (params.read_only) info.lo_flags |= LO_FLAGS_READ_ONLY;
  return info;
}

// For kernels before 5.8. Returns 0 or an errno.
int ConfigureInSteps(int device, int backing, const loop_info64& info,
                     bool direct_io) {
  if (ioctl(device, LOOP_SET_FD, backing) < 0) return errno;
  if (ioctl(device, LOOP_SET_STATUS64, &info) == 0 &&
      (!direct_io || ioctl(device, LOOP_SET_DIRECT_IO, 1UL) == 0)) {
    return 0;
  }
  const int error = errno;
  ioctl(device, LOOP_CLR_FD, 0);
  return error;
}

// Returns 0 or an errno.
int Configure(int device, int backing, const loop_info64& info,
              bool direct_io) {
  loop_config config = {};
  config.fd = static_cast<uint32_t>(backing);
  config.info = info;
  if (direct_io) config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
  if (ioctl(device, LOOP_CONFIGURE, &config) == 0) return 0;
  // EINVAL is also how a kernel before 5.8 answers an ioctl it does not know.
  if (errno != EINVAL && errno != ENOTTY) return errno;
  return ConfigureInSteps(device, backing, info, direct_io);
}

}  // namespace

absl::StatusOr<LoopDevice> AttachLoop(const std::string& backing_file,
                                      const LoopParams& params) {
  const int mode = (params.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  UniqueFd backing(open(backing_file.c_str(), mode));
  if (!backing.valid()) return ErrnoError(errno, "open", backing_file);
  UniqueFd control(open(kLoopControl, O_RDWR | O_CLOEXEC));
  if (!control.valid()) return ErrnoError(errno, "open", kLoopControl);
  const loop_info64 info = MakeInfo(backing_file, params);

  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return ErrnoError(errno, "LOOP_CTL_GET_FREE");
    LoopDevice device;
    device.path = absl::StrCat("/dev/loop", number);
    device.fd.Reset(open(device.path.c_str(), mode));
    // EBUSY here too: a rival that claims the device holds it for a moment.
    int error = device.fd.valid() ? 0 : errno;
    if (error == 0) {
      error = Configure(device.fd.get(), backing.get(), info, params.direct_io);
    }
    if (error == 0) return device;
    // EAGAIN: LOOP_SET_STATUS64 while the device's page cache is not empty.
    if (error != EBUSY && error != EAGAIN) {
      return ErrnoError(error, "attach",
                        absl::StrCat(backing_file, " to ", device.path));
    }
    BackOff(attempt);
  }
  return ErrnoError(EBUSY, "attach",
                    absl::StrCat(backing_file, " to a loop device"));
}

}  // namespace hydra
