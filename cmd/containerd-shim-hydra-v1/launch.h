// Starting an instance: its monitor, out of the caller's cgroup, with the
// program of its heads.
//
// Single-threaded; blocks until the monitor serves.

#ifndef HYDRA_CMD_SHIM_LAUNCH_H_
#define HYDRA_CMD_SHIM_LAUNCH_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/containerd-shim-hydra-v1/monitor_process.h"
#include "shim/base/unique_fd.h"
#include "shim/state/paths.h"

namespace hydra {

struct LaunchRequest {
  InstanceName name;
  InstancePaths paths;
  std::string bundle;
  std::string ttrpc_address;  // The engine's; empty: none.
  bool debug = false;
  // Where the monitor is to be; empty: beside the cgroup that this process is
  // in, and in a scope of systemd's where that runs.
  std::string shim_cgroup;
  int log_fd = -1;  // For the monitor and its heads.
};

// The programs, as absolute paths or names for PATH.
struct Programs {
  std::string monitor;
  std::string head;
};

// The monitor's beside this executable, so that several releases may be
// installed; else its name. The head's is this executable, or with `is_head`
// false as the monitor's. readlink(2)'s errno.
absl::StatusOr<Programs> FindPrograms(bool is_head);

// What the monitor is executed with. `cgroups` are for it to leave at its end.
MonitorCommand MonitorCommandOf(const LaunchRequest& request,
                                const Programs& programs,
                                const std::vector<std::string>& cgroups);

// Starts the monitor on `listener`, which MakeListener has made, and calls
// `answer` once it serves. If either fails, nothing is left, and the error is
// that one's. The monitor is init's when this process has ended.
//
// On cgroup v2 it returns in a child (EngineCgroup::Leave).
absl::Status Launch(const LaunchRequest& request, const Programs& programs,
                    UniqueFd listener,
                    const std::function<absl::Status()>& answer);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_LAUNCH_H_
