#include "shim/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/base/crash_point.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

absl::Status WriteAll(int fd, std::string_view content,
                      const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "write", path);
    }
    content.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open", path);
  std::string content;
  struct stat info;
  // A hint: files in /proc say 0.
  if (fstat(fd.get(), &info) == 0 && info.st_size > 0 &&
      static_cast<size_t>(info.st_size) <= limit) {
    content.reserve(static_cast<size_t>(info.st_size) + 1);
  }
  char buffer[4096];
  while (true) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "read", path);
    }
    if (n == 0) return content;
    content.append(buffer, static_cast<size_t>(n));
    if (content.size() > limit) {
      return InvalidArgument("read " + path + ": longer than " +
                             std::to_string(limit) + " bytes");
    }
  }
}

absl::Status ReplaceFile(const std::string& path, std::string_view content,
                         mode_t mode) {
  const std::string temporary = path + ".tmp";
  HYDRA_CRASH_POINT("file.write ", path.substr(path.rfind('/') + 1));
  UniqueFd fd(open(temporary.c_str(),
                   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                   mode));
  if (!fd.valid()) return ErrnoError(errno, "open", temporary);
  absl::Status status = WriteAll(fd.get(), content, temporary);
  HYDRA_CRASH_POINT("file.written ", path.substr(path.rfind('/') + 1));
  if (status.ok() && rename(temporary.c_str(), path.c_str()) < 0) {
    status = ErrnoError(errno, "rename", temporary);
  }
  HYDRA_CRASH_POINT("file.renamed ", path.substr(path.rfind('/') + 1));
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

}  // namespace hydra
