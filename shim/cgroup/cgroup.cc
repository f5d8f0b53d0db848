#include "shim/cgroup/cgroup.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"
#include "shim/cgroup/mounts.h"

namespace hydra {
namespace {

bool HasDotDot(std::string_view path) {
  std::string_view piece;
  while (NextPiece(path, '/', piece)) {
    if (piece == "..") return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<CgroupMode> DetectCgroupMode(const CgroupHost& host) {
  if (host.mode) return *host.mode;
  std::string root = host.prefix + std::string(kCgroupRoot);
  struct statfs info;
  if (statfs(root.c_str(), &info) != 0) {
    return ErrnoError(errno, "statfs", root);
  }
  return info.f_type == CGROUP2_SUPER_MAGIC ? CgroupMode::kV2 : CgroupMode::kV1;
}

absl::StatusOr<Cgroup> Cgroup::OfProcess(pid_t pid, const CgroupHost& host) {
  CgroupPaths paths;
  HYDRA_ASSIGN_OR_RETURN(paths.mode, DetectCgroupMode(host));
  HYDRA_ASSIGN_OR_RETURN(std::vector<CgroupMount> mounts,
                         ReadCgroupMounts(host));
  HYDRA_ASSIGN_OR_RETURN(std::vector<CgroupMembership> memberships,
                         ReadCgroupMemberships(std::to_string(pid), host));
  for (const CgroupMembership& membership : memberships) {
    // In hybrid mode the v2 tree has no controller that we read.
    const bool unified = membership.unified();
    if (unified != (paths.mode == CgroupMode::kV2)) continue;
    std::optional<CgroupPlace> place = FindPlace(membership, mounts, host);
    if (!place) continue;
    if (unified) paths.directories.emplace(kUnified, place->directory);
    for (const std::string& controller : membership.controllers) {
      paths.directories.emplace(controller, place->directory);
    }
  }
  if (paths.directories.empty()) {
    return NotFound("cgroup of process " + std::to_string(pid) +
                    ": not below any cgroup mount");
  }
  return Cgroup(std::move(paths));
}

absl::StatusOr<Cgroup> Cgroup::FromPaths(CgroupPaths paths) {
  if (paths.mode != CgroupMode::kV1 && paths.mode != CgroupMode::kV2) {
    return InvalidArgument("cgroup mode: unknown number " +
                           std::to_string(static_cast<int>(paths.mode)));
  }
  if (paths.directories.empty()) {
    return InvalidArgument("cgroup directories: none");
  }
  for (const auto& [controller, directory] : paths.directories) {
    if (controller.empty() ||
        (paths.mode == CgroupMode::kV2) != (controller == kUnified)) {
      return InvalidArgument("cgroup controller " + controller +
                             ": not one of this mode");
    }
    if (directory.empty() || directory.front() != '/' || HasDotDot(directory)) {
      return InvalidArgument("cgroup directory " + directory +
                             ": not a plain absolute path");
    }
  }
  return Cgroup(std::move(paths));
}

const std::string& Cgroup::Directory(std::string_view controller) const {
  static const std::string none;
  auto found = paths_.directories.find(
      std::string(mode() == CgroupMode::kV2 ? kUnified : controller));
  return found == paths_.directories.end() ? none : found->second;
}

}  // namespace hydra
