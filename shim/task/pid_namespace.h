// The processes of a container that has no cgroup to list them.
//
// Any thread.

#ifndef HYDRA_TASK_PID_NAMESPACE_H_
#define HYDRA_TASK_PID_NAMESPACE_H_

#include <sys/types.h>

#include <vector>

namespace hydra {

// The pids, as this process sees them, of those in the pid namespace of `init`,
// in ascending order. Those that cannot be looked at are left out; none if
// `init` has gone.
std::vector<int> ProcessesInNamespaceOf(pid_t init);

}  // namespace hydra

#endif  // HYDRA_TASK_PID_NAMESPACE_H_
