#include "shim/mount/target.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

// openat2(2) gives up with EAGAIN when a rename runs while it walks a `..`.
constexpr int kResolveAttempts = 64;
constexpr size_t kMaxFdinfo = 4096;

UniqueFd OpenInRoot(int root, const std::string& target) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  UniqueFd fd;
  for (int attempt = 0; attempt < kResolveAttempts; ++attempt) {
    fd.Reset(static_cast<int>(
        syscall(SYS_openat2, root, target.c_str(), &how, sizeof(how))));
    if (fd.valid() || (errno != EAGAIN && errno != EINTR)) break;
  }
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenTarget(const std::string& rootfs,
                                    const std::string& target) {
  UniqueFd root(open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return ErrnoError(errno, "open", rootfs);
  if (target.empty()) return root;
  UniqueFd fd = OpenInRoot(root.get(), target);
  if (!fd.valid()) {
    return ErrnoError(errno, "open",
                      absl::StrCat("\"", target, "\" in ", rootfs));
  }
  return fd;
}

// A path walk that ends at /proc/.../fd/N stays below what is mounted there,
// so this one goes by name.
absl::StatusOr<UniqueFd> OpenTop(int fd) {
  HYDRA_ASSIGN_OR_RETURN(const std::string path, PathOf(fd));
  UniqueFd top(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!top.valid()) return ErrnoError(errno, "open", path);
  return top;
}

std::string FdPath(int fd) { return absl::StrCat("/proc/thread-self/fd/", fd); }

absl::StatusOr<std::string> PathOf(int fd) {
  char buffer[PATH_MAX];
  const std::string link = FdPath(fd);
  const ssize_t length = readlink(link.c_str(), buffer, sizeof(buffer));
  if (length < 0) return ErrnoError(errno, "readlink", link);
  return std::string(buffer, static_cast<size_t>(length));
}

absl::StatusOr<int> MountIdOf(int fd) {
  const std::string path = absl::StrCat("/proc/thread-self/fdinfo/", fd);
  HYDRA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFdinfo));
  constexpr std::string_view kKey = "mnt_id:\t";
  const size_t at = text.find(kKey);
  int id = 0;
  if (at == std::string::npos || std::from_chars(text.data() + at + kKey.size(),
                                                 text.data() + text.size(), id)
                                         .ec != std::errc()) {
    return DataLoss(absl::StrCat("read ", path, ": no mnt_id"));
  }
  return id;
}

}  // namespace hydra
