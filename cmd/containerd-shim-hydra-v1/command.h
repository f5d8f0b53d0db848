// Running the OCI runtime without a monitor, for the short-lived verbs.
//
// Single-threaded; blocks.

#ifndef HYDRA_CMD_SHIM_COMMAND_H_
#define HYDRA_CMD_SHIM_COMMAND_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hydra {

struct CommandResult {
  int wait_status = 0;  // As of waitpid(2).
  std::string output;   // Standard output.
  std::string errors;   // Standard error; its end if there was much.

  bool ok() const { return wait_status == 0; }
};

// Runs `arguments` (argv[0] with a slash, or looked up in PATH) with
// /dev/null as standard input, our environment, and no other descriptor, in a
// process group of its own.
//
// NotFound: there is no such program. DeadlineExceeded: it was killed, with
// its group, after `timeout`. ResourceExhausted: it was killed because it
// printed more than 4 MiB. A descendant that keeps its output open is not
// waited for once it has ended.
absl::StatusOr<CommandResult> RunCommand(std::vector<std::string> arguments,
                                         std::chrono::milliseconds timeout);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_COMMAND_H_
