// Changes to control groups: controllers for a container's, and processes of
// our own into another.
//
// Any thread.

#ifndef HYDRA_CGROUP_CONTROL_H_
#define HYDRA_CGROUP_CONTROL_H_

#include <sys/types.h>

#include <string_view>

#include "absl/status/status.h"
#include "shim/cgroup/cgroup.h"

namespace hydra {

// v2: lets every ancestor of `cgroup` pass on all its controllers, root first,
// so that the cgroup has the files that metrics and OOM events come from. v1:
// nothing to do.
//
// The error, as ErrnoError has it, is that of the last ancestor, the parent: an
// unprivileged user may write only there, and that is enough when the others
// are set already. It is nothing to stop for.
absl::Status EnableControllers(const Cgroup& cgroup);

// Moves process `pid` into the cgroup `path`, as the option shim_cgroup names
// it: absolute, from the root of the hierarchy.
//
// v2: the cgroup must exist. v1: into the cgroup of this path in every
// hierarchy under /sys/fs/cgroup, the v2 one of hybrid mode included; it is
// made where it is missing, and stays, because it belongs to who named it. All
// are tried; the first error is returned.
//
// InvalidArgument: a path that is not absolute, or that has "..". NotFound: no
// such cgroup (v2), or no such process. FailedPrecondition: no hierarchy is
// mounted. Others: as ErrnoError has them.
absl::Status AddProcess(std::string_view path, pid_t pid,
                        const CgroupHost& host = {});

}  // namespace hydra

#endif  // HYDRA_CGROUP_CONTROL_H_
