// Whole files, read and replaced.
//
// Any thread. Errors name the operation and the path.

#ifndef HYDRA_BASE_FILE_H_
#define HYDRA_BASE_FILE_H_

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hydra {

// The content of the file. NotFound if there is none; InvalidArgument if it is
// longer than `limit`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit);

// Writes `<path>.tmp`, then renames it over `path`: a reader sees the old
// content or the new, never a part. Not synced to a disk. On failure the old
// file stands and the temporary one is removed.
absl::Status ReplaceFile(const std::string& path, std::string_view content,
                         mode_t mode);

}  // namespace hydra

#endif  // HYDRA_BASE_FILE_H_
