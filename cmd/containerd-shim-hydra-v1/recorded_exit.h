// How the container ended, as far as anything on disk knows.
//
// Any thread.

#ifndef HYDRA_CMD_SHIM_RECORDED_EXIT_H_
#define HYDRA_CMD_SHIM_RECORDED_EXIT_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "shim/state/paths.h"

namespace hydra {

struct RecordedExit {
  uint32_t pid = 0;
  uint32_t exit_status = 0;
  int64_t exited_at = 0;  // Unix nanoseconds.
};

// The exit of the container's init process. The head's record has it once the
// head has heard of it, the monitor's exit file from the moment of the reaping
// until then. `pid` is init's from the bundle, or 0; it decides if the record
// cannot be read. Nothing if it has not ended, or nobody knows.
std::optional<RecordedExit> FindRecordedExit(const InstancePaths& paths,
                                             pid_t pid);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_RECORDED_EXIT_H_
