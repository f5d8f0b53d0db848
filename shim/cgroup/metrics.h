// A cgroup's statistics, as StatsResponse.stats carries them.
//
// Any thread. Nothing is kept between calls.

#ifndef HYDRA_CGROUP_METRICS_H_
#define HYDRA_CGROUP_METRICS_H_

#include "absl/status/statusor.h"
#include "google/protobuf/any.pb.h"
#include "shim/cgroup/cgroup.h"

namespace hydra {

// io.containerd.cgroups.v1.Metrics or io.containerd.cgroups.v2.Metrics, by the
// cgroup's mode; the type_url is the bare name, as containerd's typeurl has it.
//
// What a kernel or a configuration does not have stays unset or 0. On v1 a
// controller without its files has no message, except for cpu.usage and
// cpu.throttling, which clients dereference; "max" is 0. On v2 all messages
// are there, but for memory_events and psi without their files; "max" is
// 2^64-1 (containerd/cgroups@v3 cgroup1 and cgroup2, Stat).
//
// It works while the cgroup exists, be it empty of processes.
//
// NotFound "cgroup does not exist: not found": it was removed. Internal: a file
// has no number where one is due. Others: as ErrnoError has them; on v2 only a
// few files can make the call fail, the others count as missing.
absl::StatusOr<google::protobuf::Any> ReadMetrics(const Cgroup& cgroup,
                                                  const CgroupHost& host = {});

}  // namespace hydra

#endif  // HYDRA_CGROUP_METRICS_H_
