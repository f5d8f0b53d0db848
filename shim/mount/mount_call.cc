#include "shim/mount/mount_call.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "shim/base/status.h"
#include "shim/mount/target.h"

namespace hydra {

absl::Status Perform(const MountCall& call) {
  if (mount(call.source.c_str(), FdPath(call.target_fd).c_str(),
            call.type.c_str(), call.flags, call.data.c_str()) == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(
      errno,
      absl::StrCat("mount flags: 0x", absl::Hex(call.flags), ", data: \"",
                   absl::Utf8SafeCEscape(call.data), "\""));
}

absl::Status PerformFrom(int directory_fd, const MountCall& call) {
  absl::Status status;
  const auto run = [&] {
    if (unshare(CLONE_FS) < 0) {
      status = ErrnoError(errno, "unshare CLONE_FS");
    } else if (fchdir(directory_fd) < 0) {
      status = ErrnoError(errno, "fchdir");
    } else {
      status = Perform(call);
    }
  };
  try {
    std::thread(run).join();
  } catch (const std::system_error& error) {
    return ErrnoError(error.code().value(), "create thread");
  }
  return status;
}

absl::Status ChangeMount(int fd, unsigned long flags) {
  if (mount("", FdPath(fd).c_str(), "", flags, "") == 0) {
    return absl::OkStatus();
  }
  return ErrnoError(errno,
                    absl::StrCat("change mount, flags: 0x", absl::Hex(flags)));
}

}  // namespace hydra
