// The mounted cgroup hierarchies, from /proc/self/mountinfo (proc(5)), and the
// places of processes in them.
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

// One hierarchy in /proc/<pid>/cgroup: "4:cpu,cpuacct:/a/b", or "0::/a/b" for
// the one of v2 (cgroups(7)).
struct CgroupMembership {
  std::vector<std::string> controllers;  // Empty: v2.
  std::string path;

  bool unified() const { return controllers.empty(); }
};

// Of `process`: a pid, or "self". Errors as KernelFileReader has them.
absl::StatusOr<std::vector<CgroupMembership>> ReadCgroupMemberships(
    const std::string& process, const CgroupHost& host);

// A cgroup as a directory.
struct CgroupPlace {
  const CgroupMount* mount;  // One of those that were searched.
  std::string directory;     // With CgroupHost::prefix.
};

// Through the first mount that shows it; nothing if none does.
std::optional<CgroupPlace> FindPlace(const CgroupMembership& membership,
                                     const std::vector<CgroupMount>& mounts,
                                     const CgroupHost& host);

}  // namespace hydra

#endif  // HYDRA_CGROUP_MOUNTS_H_
