// Standard input and output of the short-lived verbs.
//
// Single-threaded; blocks.

#ifndef HYDRA_CMD_SHIM_STDIO_H_
#define HYDRA_CMD_SHIM_STDIO_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hydra {

// containerd's own limit for what it sends to a shim.
inline constexpr size_t kMaxInput = size_t{10} << 20;

// Reads `fd` to its end. A closed descriptor and a terminal give nothing: a
// person who tries the command is not kept waiting. InvalidArgument for more
// than `limit` bytes, else read(2)'s errno.
absl::StatusOr<std::string> ReadInput(int fd, size_t limit = kMaxInput);

// Writes all of `text`, or gives write(2)'s errno.
absl::Status WriteOutput(int fd, std::string_view text);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_STDIO_H_
