// A cgroup beside the engine's, for what must outlive the engine: killing all
// of the engine's cgroup, and of those below it, does not reach it.
//
// It is called "hydra-monitors", is shared by all monitors whose engines have
// the same parent cgroup, and sets nothing, so that the limits of every cgroup
// above hold as before; only those of the engine's own cgroup do not. One for
// each instance would cost the kernel more memory than our processes use, and
// protect from nothing: what kills the shared one was aimed at the monitors.
// It exists while it has processes; removing it is tried by whoever leaves,
// and refused by the kernel while it is in use.
//
// Any thread, but EnterBeside and ForkBeside: a process with one thread only.

#ifndef HYDRA_CGROUP_BESIDE_H_
#define HYDRA_CGROUP_BESIDE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/cgroup/cgroup.h"

namespace hydra {

// In one hierarchy.
struct BesideCgroup {
  std::string parent;     // The directory that it and the engine's are in.
  std::string directory;  // Its own, whether it exists or not.
  bool unified = false;   // v2
  bool cpuset = false;
};

// One for every hierarchy in which this process is in a cgroup below the root
// that can be seen from here. None: it is in root cgroups only, which nobody
// kills as a whole, or beside already; there is nothing to leave. Errors: those
// of /proc/self/cgroup and /proc/self/mountinfo, as ErrnoError has them.
absl::StatusOr<std::vector<BesideCgroup>> FindBeside(
    const CgroupHost& host = {});

// Moves this process into it, and makes it where it is missing. Errors as
// ErrnoError has them, among them those of a hierarchy that is mounted
// read-only or belongs to somebody else; the process is then where it was.
//
// On v1 this takes some 20 us. On v2 it takes an RCU grace period, 10 to 20 ms
// on an idle machine: see ForkBeside.
absl::Status EnterBeside(const BesideCgroup& beside);

// fork(2) for v2, with the child in the cgroup from its birth, which needs no
// grace period. 0 in the child. Unimplemented before Linux 5.7; others as
// ErrnoError has them. What pthread_atfork(3) registered is not called.
absl::StatusOr<pid_t> ForkBeside(const BesideCgroup& beside);

// Removes those that exist and are not in use.
void RemoveBeside(const std::vector<BesideCgroup>& all);

}  // namespace hydra

#endif  // HYDRA_CGROUP_BESIDE_H_
