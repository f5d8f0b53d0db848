// The mounted cgroup hierarchies, from /proc/self/mountinfo (proc(5)).
//
// Any thread. For this directory's own use.

#ifndef HYDRA_CGROUP_MOUNTS_H_
#define HYDRA_CGROUP_MOUNTS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/cgroup/cgroup.h"

namespace hydra {

inline constexpr std::string_view kCgroupRoot = "/sys/fs/cgroup";

struct CgroupMount {
  // "major:minor": the same for every mount of one hierarchy.
  std::string device;
  // The cgroup that is mounted, as seen from our cgroup namespace: "/", a
  // cgroup below it, or "/.." for one above the namespace's root.
  std::string root;
  // Without CgroupHost::prefix.
  std::string mount_point;
  bool unified = false;
  // v1 only: the file system's options, among them the controllers' names.
  std::vector<std::string> options;

  bool Has(std::string_view controller) const;
};

// Those at /sys/fs/cgroup and below first, then the others; else in the order
// of the file. Errors as ErrnoError has them.
absl::StatusOr<std::vector<CgroupMount>> ReadCgroupMounts(
    const CgroupHost& host);

// `text` is the content of a mountinfo file. Lines that cannot be understood
// are skipped.
std::vector<CgroupMount> ParseCgroupMounts(std::string_view text);

// The directory of the cgroup `path` under `mount`, without prefix; nothing if
// the path is not below the mount's root.
std::optional<std::string> DirectoryUnder(const CgroupMount& mount,
                                          std::string_view path);

}  // namespace hydra

#endif  // HYDRA_CGROUP_MOUNTS_H_
