// Takes a wait out of the runtime's way.
//
// The first process that is moved between cgroups after a while waits for an
// RCU grace period, 6 to 16 ms at 250 Hz: cgroup_threadgroup_rwsem is a
// percpu_rw_semaphore, whose readers, all of fork and exit, must first be
// brought to its slow path. Within a grace period of that the next move takes
// microseconds. So somebody should begin to wait as soon as it is known that
// the runtime is going to move a process, and not when it does.

#ifndef HYDRA_CGROUP_WARM_UP_H_
#define HYDRA_CGROUP_WARM_UP_H_

namespace hydra {

// Moves this process into the cgroup where it is, which changes nothing. Blocks
// for as long as the kernel does. Where it cannot be done (no cgroup file
// system, a read-only one) it is not: a debug line says so. Any thread.
void WarmUpCgroupMigration();

}  // namespace hydra

#endif  // HYDRA_CGROUP_WARM_UP_H_
