// Out of the engine's cgroup: what ends all that is in it, as systemd does with
// a unit of KillMode=control-group, is to end no monitor.
//
// Where systemd runs, a transient scope of its own for each instance; else, and
// where systemd will not, the cgroup beside the engine's
// (shim/cgroup/beside.h). It is `start` that moves, before the monitor is
// started: so nothing is ever born in the engine's cgroup, and no answer is
// given before it is done.
//
// runc is the monitor's child, and goes with it: a cgroupsPath that is absolute
// or systemd's "slice:prefix:name", as ctr, Docker and CRI send them, means the
// same as before. On v1 a relative or missing one is taken as below runc's own
// cgroup, so such a container leaves the engine's cgroup, too; on v2 it is
// taken as beside runc's own, which is where it was, or in the slice of the
// scopes (opencontainers/runc@v1.1.5: libcontainer/cgroups/fs/paths.go
// subsysPath, fs2/defaultpath.go).
//
// Single-threaded.

#ifndef HYDRA_CMD_SHIM_ENGINE_CGROUP_H_
#define HYDRA_CMD_SHIM_ENGINE_CGROUP_H_

#include <string>
#include <vector>

#include "cmd/containerd-shim-hydra-v1/flags.h"
#include "shim/state/paths.h"

namespace hydra {

class EngineCgroup final {
 public:
  EngineCgroup() = default;
  EngineCgroup(const EngineCgroup&) = delete;
  EngineCgroup& operator=(const EngineCgroup&) = delete;
  // Goes back out of the cgroups that it went to, and removes them where it was
  // the last, unless they were released.
  ~EngineCgroup();

  // What fails is logged and passed over: a monitor that stays is what
  // containerd's own shim always is. Does nothing in root cgroups.
  //
  // On v2 without systemd it returns in a child that was born in the new
  // cgroup: the caller waits for the child, and ends as it does.
  void Leave(const Flags& flags, const InstancePaths& paths);

  // The cgroups that it went to and that the monitor is to remove at its end.
  const std::vector<std::string>& left_for() const { return left_for_; }

  // They are the monitor's now.
  void Release() { left_for_.clear(); }

 private:
  std::vector<std::string> left_for_;
};

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_ENGINE_CGROUP_H_
