// The end of a stay in cgroups that a monitor shares with others.

#ifndef HYDRA_MONITOR_CGROUPS_H_
#define HYDRA_MONITOR_CGROUPS_H_

#include <vector>

namespace hydra::monitor {

// Moves this process out of each of `directories` into the cgroup above, and
// removes the directory, which the kernel refuses while others are in it. To
// be called last: on v2 the move takes an RCU grace period.
//
// What fails is left: a v2 cgroup above that passes controllers on takes no
// process, and then the directory stays, empty, for the next instance.
void LeaveCgroups(const std::vector<const char*>& directories);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_CGROUPS_H_
