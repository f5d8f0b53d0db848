// What an OCI runtime says of its failure: --log with --log-format json.
//
// Any thread.

#ifndef HYDRA_RUNTIME_RUNTIME_LOG_H_
#define HYDRA_RUNTIME_RUNTIME_LOG_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hydra {

// The last error that is in the runtime's log from `start` on, or an empty
// string; lines that are not JSON are passed over. An errno's status if the
// file cannot be read.
absl::StatusOr<std::string> LastLoggedError(const std::string& path,
                                            size_t start);
// The same of the log's text.
std::string LastLoggedErrorIn(std::string_view log);

}  // namespace hydra

#endif  // HYDRA_RUNTIME_RUNTIME_LOG_H_
