// Out of the engine's cgroup: what ends all that is in it, as systemd does with
// a unit of KillMode=control-group, is to end no monitor.
//
// First the cheap and certain thing: `start` goes beside the engine's cgroup
// (shim/cgroup/beside.h) before it starts the monitor, so nothing is ever born
// where it could be killed, and no answer is given before. Then, where systemd
// runs, the proper thing: a transient scope for each instance, which systemd
// knows and shows. That takes 15 ms and more, most of it an RCU grace period in
// the kernel, so a process of its own asks for it when the engine has its
// answer. If that process dies, or systemd will not, only the scope is missing.
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

#include <sys/types.h>

#include <string>
#include <vector>

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

  // Before the monitor is started. What fails is logged and passed over: a
  // monitor that stays is what containerd's own shim always is. Does nothing in
  // root cgroups.
  //
  // On v2 it returns in a child that was born in the new cgroup: the caller
  // waits for the child, and ends as it does.
  void Leave();

  // When the engine has been answered: has a process of its own move the
  // monitor and its head on to a scope, if there were cgroups to leave and
  // systemd runs. That process has the log and no other descriptor of ours,
  // and ends within seconds.
  void AskSystemd(const InstanceName& name, const InstancePaths& paths,
                  const std::string& head_program, pid_t monitor,
                  int log_fd) const;

  // The cgroups that it went to and that the monitor is to remove at its end.
  const std::vector<std::string>& left_for() const { return left_for_; }

  // They are the monitor's now.
  void Release() { left_for_.clear(); }

 private:
  std::vector<std::string> left_for_;
  bool had_to_leave_ = false;
};

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_ENGINE_CGROUP_H_
