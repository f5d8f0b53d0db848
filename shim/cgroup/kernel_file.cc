#include "shim/cgroup/kernel_file.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>

namespace hydra {
namespace {

UniqueFd OpenForReading(int directory, const char* name) {
  int fd;
  do {
    fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

ssize_t ReadSome(int fd, char* to, size_t size) {
  ssize_t n;
  do {
    n = read(fd, to, size);
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

absl::StatusOr<std::string_view> KernelFileReader::Read(int directory,
                                                        const char* name) {
  UniqueFd fd = OpenForReading(directory, name);
  if (!fd.valid()) return ErrnoError(errno, "open", name);
  size_t used = 0;
  // A short read is not the end: seq files are handed out by records.
  while (true) {
    if (used == buffer_.size()) buffer_.resize(2 * buffer_.size());
    ssize_t n =
        ReadSome(fd.get(), buffer_.data() + used, buffer_.size() - used);
    if (n < 0) return ErrnoError(errno, "read", name);
    if (n == 0) break;
    used += static_cast<size_t>(n);
  }
  return std::string_view(buffer_.data(), used);
}

absl::Status KernelFileReader::ReadNumber(int directory, const char* name,
                                          uint64_t max, uint64_t& value) {
  UniqueFd fd = OpenForReading(directory, name);
  if (!fd.valid()) return ErrnoError(errno, "open", name);
  // 20 digits and a newline at most, in one record.
  char text[32];
  ssize_t n = ReadSome(fd.get(), text, sizeof(text));
  if (n < 0) return ErrnoError(errno, "read", name);
  std::string_view number(text, static_cast<size_t>(n));
  if (!number.empty() && number.back() == '\n') number.remove_suffix(1);
  if (number == "max") {
    value = max;
    return absl::OkStatus();
  }
  std::optional<uint64_t> parsed = ParseNumber(number);
  if (!parsed) return Internal(std::string("parse ") + name + ": no number");
  value = *parsed;
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenCgroupDirectory(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open", path);
  return fd;
}

absl::Status WriteKernelFile(const std::string& path, std::string_view text) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open", path);
  ssize_t n;
  do {
    n = write(fd.get(), text.data(), text.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return ErrnoError(errno, "write", path);
  return absl::OkStatus();
}

absl::Status IgnoreNotFound(absl::Status status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end || error != std::errc()) return std::nullopt;
  return negative ? 0 : value;
}

bool NextPiece(std::string_view& text, char separator,
               std::string_view& piece) {
  size_t start = text.find_first_not_of(separator);
  if (start == std::string_view::npos) {
    text = {};
    piece = {};
    return false;
  }
  size_t end = text.find(separator, start);
  piece = text.substr(start, end == std::string_view::npos ? end : end - start);
  text =
      end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return true;
}

}  // namespace hydra
