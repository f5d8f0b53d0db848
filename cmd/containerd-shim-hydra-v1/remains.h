// Ending an instance from outside, whatever state it is in, its monitor dead,
// alive or hung.
//
// Single-threaded; blocks. Logs with LogWarning.

#ifndef HYDRA_CMD_SHIM_REMAINS_H_
#define HYDRA_CMD_SHIM_REMAINS_H_

#include <string>

#include "cmd/containerd-shim-hydra-v1/recorded_exit.h"
#include "shim/state/paths.h"

namespace hydra {

//   1. removes the container from the OCI runtime, by force;
//   2. ends the instance's monitor and its children, if it is alive: after the
//      container, so that the exit is still reaped and recorded;
//   3. unmounts what is on the bundle's rootfs;
//   4. removes the instance's directory and socket.
//
// A step that fails is logged and does not stop the others. Gives the recorded
// exit, or, where nobody saw one, 137 (SIGKILL) now. Takes well under
// containerd's 5 s unless the OCI runtime hangs; it is given 3.
RecordedExit RemoveRemains(const InstanceName& name, const InstancePaths& paths,
                           const std::string& bundle);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_REMAINS_H_
