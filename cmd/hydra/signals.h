// Signals by name. Any thread.

#ifndef HYDRA_CMD_HYDRA_SIGNALS_H_
#define HYDRA_CMD_HYDRA_SIGNALS_H_

#include <string>

#include "absl/status/statusor.h"

namespace hydra::command {

// "KILL", "SIGKILL", "9", "RTMIN+3"; in either case. InvalidArgument.
absl::StatusOr<int> ParseSignal(const std::string& text);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_SIGNALS_H_
