#include "shim/cgroup/cgroup.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"
#include "shim/cgroup/mounts.h"

namespace hydra {
namespace {

// One hierarchy in /proc/<pid>/cgroup: "4:cpu,cpuacct:/a/b", or "0::/a/b" for
// the one of v2 (cgroups(7)).
struct Membership {
  std::vector<std::string> controllers;  // empty: v2
  std::string path;
};

std::vector<Membership> ParseMemberships(std::string_view text) {
  std::vector<Membership> out;
  std::string_view line;
  while (NextPiece(text, '\n', line)) {
    // Only the first two colons separate: a cgroup's name may have some, too.
    size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    Membership membership;
    membership.path = std::string(line.substr(second + 1));
    std::string_view names = line.substr(first + 1, second - first - 1);
    std::string_view name;
    while (NextPiece(names, ',', name))
      membership.controllers.emplace_back(name);
    out.push_back(std::move(membership));
  }
  return out;
}

// The first mount through which the cgroup can be seen; nothing if there is
// none.
std::optional<std::string> FindDirectory(const Membership& membership,
                                         const std::vector<CgroupMount>& mounts,
                                         const CgroupHost& host) {
  const bool unified = membership.controllers.empty();
  for (const CgroupMount& mount : mounts) {
    if (mount.unified != unified) continue;
    if (!unified && !mount.Has(membership.controllers.front())) continue;
    std::optional<std::string> directory =
        DirectoryUnder(mount, membership.path);
    if (!directory) continue;
    std::string path = host.prefix + *directory;
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return path;
  }
  return std::nullopt;
}

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
  KernelFileReader reader;
  HYDRA_ASSIGN_OR_RETURN(
      std::string_view text,
      reader.Read(host.prefix + "/proc/" + std::to_string(pid) + "/cgroup"));
  for (const Membership& membership : ParseMemberships(text)) {
    // In hybrid mode the v2 tree has no controller that we read.
    const bool unified = membership.controllers.empty();
    if (unified != (paths.mode == CgroupMode::kV2)) continue;
    std::optional<std::string> directory =
        FindDirectory(membership, mounts, host);
    if (!directory) continue;
    if (unified) paths.directories.emplace(kUnified, *directory);
    for (const std::string& controller : membership.controllers) {
      paths.directories.emplace(controller, *directory);
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
