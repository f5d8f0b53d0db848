// The two halves of metrics.h, and what they share.
//
// Any thread. For this directory's own use.

#ifndef HYDRA_CGROUP_METRICS_INTERNAL_H_
#define HYDRA_CGROUP_METRICS_INTERNAL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "io/containerd/cgroups/v1/metrics.pb.h"
#include "io/containerd/cgroups/v2/metrics.pb.h"
#include "shim/cgroup/cgroup.h"

namespace hydra {

// Errors as ReadMetrics has them.
absl::StatusOr<io::containerd::cgroups::v1::Metrics> ReadMetricsV1(
    const Cgroup& cgroup, const CgroupHost& host);
absl::StatusOr<io::containerd::cgroups::v2::Metrics> ReadMetricsV2(
    const Cgroup& cgroup, const CgroupHost& host);

// What ReadMetrics gives for a cgroup that was removed.
absl::Status CgroupGone();

// The machine's huge page sizes as the hugetlb files spell them ("2MB",
// "1GB"), smallest first; none where the kernel has no huge pages.
std::vector<std::string> HugePageSizes(const CgroupHost& host);

}  // namespace hydra

#endif  // HYDRA_CGROUP_METRICS_INTERNAL_H_
