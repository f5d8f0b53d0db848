// Where a process stands in the control groups.
//
// A container's cgroup is looked up once, when its init has been created and
// before its program can move itself, and is kept as directories: they can be
// saved, and loaded by a successor when init is long gone.
//
// Any thread; values only.

#ifndef HYDRA_CGROUP_CGROUP_H_
#define HYDRA_CGROUP_CGROUP_H_

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace hydra {

// The numbers are for saving.
enum class CgroupMode {
  // A directory for each controller (cgroups(7), "Cgroups version 1"), with or
  // without a v2 mount beside them ("hybrid").
  kV1 = 1,
  // One tree for all controllers (admin-guide/cgroup-v2.rst).
  kV2 = 2,
};

// The machine that is looked at; the default is the real one. Tests put a
// recorded tree in its place.
struct CgroupHost {
  // Stands before every absolute path: /proc, /sys/fs/cgroup,
  // /sys/kernel/mm/hugepages.
  std::string prefix = {};
  // Asked of the file system at /sys/fs/cgroup if empty.
  std::optional<CgroupMode> mode = {};
};

// kV2 if /sys/fs/cgroup is a cgroup2 file system, else kV1, which is how
// containerd decides; engines pick the decoder of the metrics in the same way.
// statfs(2)'s error as ErrnoError has it, NotFound where there are no cgroups.
absl::StatusOr<CgroupMode> DetectCgroupMode(const CgroupHost& host = {});

// A cgroup in the form that is saved.
struct CgroupPaths {
  CgroupMode mode = CgroupMode::kV1;
  // Absolute directories. v1: by controller, or "name=systemd" for a hierarchy
  // without one; controllers mounted together have the same directory. v2: one,
  // under kUnified.
  std::map<std::string, std::string> directories;
};

class Cgroup final {
 public:
  // The key of CgroupPaths::directories in v2.
  static constexpr std::string_view kUnified = "unified";

  // The cgroup of `pid` as this process sees it: /proc/<pid>/cgroup read
  // through the cgroup mounts of /proc/self/mountinfo. On v1, controllers that
  // are not mounted, or whose directory cannot be seen from here, are left out.
  // NotFound: no such process, or its cgroup is outside of what is mounted.
  // Others: as ErrnoError has them.
  static absl::StatusOr<Cgroup> OfProcess(pid_t pid,
                                          const CgroupHost& host = {});

  // What paths() gave. It is checked for form, not for existence.
  // InvalidArgument: an unknown mode, no directory, one that is not absolute
  // or that has "..", or a key that the mode does not know.
  static absl::StatusOr<Cgroup> FromPaths(CgroupPaths paths);

  const CgroupPaths& paths() const { return paths_; }
  CgroupMode mode() const { return paths_.mode; }

  // The directory of `controller`, or the one directory there is on v2; empty
  // if there is none. Lives as long as this object.
  const std::string& Directory(std::string_view controller) const;

 private:
  explicit Cgroup(CgroupPaths paths) : paths_(std::move(paths)) {}

  CgroupPaths paths_;
};

}  // namespace hydra

#endif  // HYDRA_CGROUP_CGROUP_H_
