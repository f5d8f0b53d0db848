// What a new cgroup of the cpuset controller of v1 needs.
//
// Any thread. For this directory's own use.

#ifndef HYDRA_CGROUP_CPUSET_H_
#define HYDRA_CGROUP_CPUSET_H_

#include <string>

#include "absl/status/status.h"

namespace hydra {

// A new cpuset has no cpus and no memory nodes, and takes no process until it
// has (cpuset(7)): `directory` gets those of `parent`, unless it has its own.
// Errors as ErrnoError has them.
absl::Status InheritCpuset(const std::string& parent,
                           const std::string& directory);

}  // namespace hydra

#endif  // HYDRA_CGROUP_CPUSET_H_
