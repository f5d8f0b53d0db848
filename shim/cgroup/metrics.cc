#include "shim/cgroup/metrics.h"

#include <dirent.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"
#include "shim/cgroup/metrics_internal.h"

namespace hydra {
namespace {

template <typename Metrics>
absl::StatusOr<google::protobuf::Any> Pack(absl::StatusOr<Metrics> metrics) {
  if (!metrics.ok()) return std::move(metrics).status();
  google::protobuf::Any any;
  any.set_type_url(Metrics().GetTypeName());
  metrics->SerializeToString(any.mutable_value());
  return any;
}

// mem_fmt of mm/hugetlb_cgroup.c.
std::string FormatSize(uint64_t kib) {
  if (kib >= 1 << 20) return std::to_string(kib >> 20) + "GB";
  if (kib >= 1 << 10) return std::to_string(kib >> 10) + "MB";
  return std::to_string(kib) + "KB";
}

}  // namespace

absl::StatusOr<google::protobuf::Any> ReadMetrics(const Cgroup& cgroup,
                                                  const CgroupHost& host) {
  switch (cgroup.mode()) {
    case CgroupMode::kV1:
      return Pack(ReadMetricsV1(cgroup, host));
    case CgroupMode::kV2:
      return Pack(ReadMetricsV2(cgroup, host));
  }
  return Internal("read metrics: unknown cgroup mode");
}

absl::Status CgroupGone() {
  return NotFound("cgroup does not exist: not found");
}

std::vector<std::string> HugePageSizes(const CgroupHost& host) {
  constexpr std::string_view kBefore = "hugepages-";
  constexpr std::string_view kAfter = "kB";
  const std::string path = host.prefix + "/sys/kernel/mm/hugepages";
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()),
                                                closedir);
  if (directory == nullptr) return {};
  std::vector<uint64_t> sizes;
  while (const dirent* entry = readdir(directory.get())) {
    std::string_view name = entry->d_name;
    if (name.size() <= kBefore.size() + kAfter.size() ||
        name.substr(0, kBefore.size()) != kBefore ||
        name.substr(name.size() - kAfter.size()) != kAfter) {
      continue;
    }
    name.remove_prefix(kBefore.size());
    name.remove_suffix(kAfter.size());
    if (std::optional<uint64_t> kib = ParseNumber(name)) sizes.push_back(*kib);
  }
  std::sort(sizes.begin(), sizes.end());
  std::vector<std::string> names;
  for (uint64_t kib : sizes) names.push_back(FormatSize(kib));
  return names;
}

}  // namespace hydra
