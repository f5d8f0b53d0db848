#include "cmd/containerd-shim-hydra-v1/stdio.h"

#include <unistd.h>

#include <cerrno>

#include "shim/base/status.h"

namespace hydra {

absl::StatusOr<std::string> ReadInput(int fd, size_t limit) {
  std::string input;
  if (isatty(fd) == 1) return input;
  char buffer[16384];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EBADF) return input;
    if (n < 0) return ErrnoError(errno, "read", "standard input");
    if (n == 0) return input;
    input.append(buffer, static_cast<size_t>(n));
    if (input.size() > limit) {
      return InvalidArgument("read standard input: longer than " +
                             std::to_string(limit) + " bytes");
    }
  }
}

absl::Status WriteOutput(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write", "standard output");
    text.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace hydra
