// Reading and writing the kernel's small text files, and their formats.
//
// One thread at a time per object. For this directory's own use.

#ifndef HYDRA_CGROUP_KERNEL_FILE_H_
#define HYDRA_CGROUP_KERNEL_FILE_H_

#include <fcntl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"

namespace hydra {

// "max" in a file of v2.
inline constexpr uint64_t kNoLimit = UINT64_MAX;

// Reads file after file through one buffer. Every function gives NotFound for
// a file that does not exist and also for one whose cgroup was removed after
// it had been opened (ENODEV); others as ErrnoError has them. Names are
// relative to `directory`, as for openat(2).
class KernelFileReader final {
 public:
  KernelFileReader() : buffer_(16 * 1024) {}

  // The whole file; valid until the next call.
  absl::StatusOr<std::string_view> Read(int directory, const char* name);
  absl::StatusOr<std::string_view> Read(const std::string& path) {
    return Read(AT_FDCWD, path.c_str());
  }

  // A file that holds one number, or "max", which gives `max`. Internal if it
  // holds something else; `value` is then as it was.
  absl::Status ReadNumber(int directory, const char* name, uint64_t max,
                          uint64_t& value);

 private:
  std::vector<char> buffer_;
};

// A directory to give to KernelFileReader: NotFound if it does not exist.
absl::StatusOr<UniqueFd> OpenCgroupDirectory(const std::string& path);

// Writes `text` with one write(2), as cgroup files want it. Errors as
// ErrnoError has them.
absl::Status WriteKernelFile(const std::string& path, std::string_view text);

// OK in place of NotFound.
absl::Status IgnoreNotFound(absl::Status status);

// A decimal number and nothing else. A negative one is 0: some files of v1
// have -1 for "none". Nothing if it is not a number or too large.
std::optional<uint64_t> ParseNumber(std::string_view text);

// Cuts the next piece, up to `separator` or the end, off `text`; false at the
// end. Empty pieces are skipped.
bool NextPiece(std::string_view& text, char separator, std::string_view& piece);

// Where the value of a key goes.
template <typename Message>
struct KeyField {
  std::string_view key;
  void (Message::*set)(uint64_t);
};

// Lines of "key value", as in memory.stat. Keys that are not in `fields` are
// ignored, whatever follows them; Internal for a key that is, with no number.
template <typename Message, size_t n>
absl::Status ParseKeyValues(std::string_view text, const char* name,
                            const KeyField<Message> (&fields)[n],
                            Message& message) {
  std::string_view line;
  // Kernel and table mostly have the same order, so the search goes on where
  // the last one ended.
  size_t next = 0;
  while (NextPiece(text, '\n', line)) {
    std::string_view key;
    NextPiece(line, ' ', key);
    for (size_t i = 0; i < n; ++i) {
      const KeyField<Message>& field = fields[(next + i) % n];
      if (field.key != key) continue;
      std::optional<uint64_t> value = ParseNumber(line);
      if (!value) {
        return Internal(std::string("parse ") + name + ": no number for " +
                        std::string(key));
      }
      (message.*field.set)(*value);
      next = next + i + 1;
      break;
    }
  }
  return absl::OkStatus();
}

// Lines of "device hca_handle=1 hca_object=max" (rdma.current, rdma.max).
template <typename Entries>
void ParseRdma(std::string_view text, Entries& entries) {
  std::string_view line;
  while (NextPiece(text, '\n', line)) {
    std::string_view device;
    if (!NextPiece(line, ' ', device)) continue;
    auto& entry = *entries.Add();
    entry.set_device(std::string(device));
    std::string_view field;
    while (NextPiece(line, ' ', field)) {
      std::string_view key;
      NextPiece(field, '=', key);
      uint64_t value =
          field == "max" ? UINT32_MAX : ParseNumber(field).value_or(0);
      if (key == "hca_handle") {
        entry.set_hca_handles(static_cast<uint32_t>(value));
      } else if (key == "hca_object") {
        entry.set_hca_objects(static_cast<uint32_t>(value));
      }
    }
  }
}

}  // namespace hydra

#endif  // HYDRA_CGROUP_KERNEL_FILE_H_
