#include "shim/cgroup/control.h"

#include <sys/stat.h>

#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include "shim/base/status.h"
#include "shim/cgroup/cpuset.h"
#include "shim/cgroup/kernel_file.h"
#include "shim/cgroup/mounts.h"

namespace hydra {
namespace {

// "/a//b/" as {"a", "b"}.
absl::StatusOr<std::vector<std::string>> SplitPath(std::string_view path) {
  std::string_view rest = path;
  std::vector<std::string> names;
  std::string_view piece;
  while (NextPiece(rest, '/', piece)) {
    if (piece == "..") break;
    if (piece != ".") names.emplace_back(piece);
  }
  if (piece == ".." || path.empty() || path.front() != '/') {
    return InvalidArgument("cgroup path " + std::string(path) +
                           ": not a plain absolute path");
  }
  return names;
}

// Makes the cgroup where it is missing, and gives its directory.
absl::StatusOr<std::string> MakeCgroup(const CgroupMount& mount,
                                       const std::vector<std::string>& names,
                                       const CgroupHost& host) {
  std::string directory = host.prefix + mount.mount_point;
  for (const std::string& name : names) {
    const std::string parent = directory;
    directory.append("/").append(name);
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoError(errno, "mkdir", directory);
    }
    if (mount.Has("cpuset")) {
      HYDRA_RETURN_IF_ERROR(InheritCpuset(parent, directory));
    }
  }
  return directory;
}

absl::Status Move(const std::string& directory, pid_t pid) {
  return WriteKernelFile(directory + "/cgroup.procs", std::to_string(pid));
}

absl::Status AddProcessV1(const std::vector<std::string>& names, pid_t pid,
                          const CgroupHost& host) {
  HYDRA_ASSIGN_OR_RETURN(std::vector<CgroupMount> mounts,
                         ReadCgroupMounts(host));
  absl::Status first;
  std::set<std::string> hierarchies;
  for (const CgroupMount& mount : mounts) {
    if (mount.mount_point.rfind(kCgroupRoot, 0) != 0) continue;
    // One that is mounted twice needs the move once.
    if (!hierarchies.insert(mount.device).second) continue;
    absl::StatusOr<std::string> directory = MakeCgroup(mount, names, host);
    first.Update(directory.ok() ? Move(*directory, pid) : directory.status());
  }
  if (hierarchies.empty()) {
    return FailedPrecondition("add process to cgroup: no hierarchy is mounted");
  }
  return first;
}

absl::Status EnableControllersIn(const std::string& directory) {
  KernelFileReader reader;
  HYDRA_ASSIGN_OR_RETURN(std::string_view available,
                         reader.Read(directory + "/cgroup.controllers"));
  if (!available.empty() && available.back() == '\n') {
    available.remove_suffix(1);
  }
  std::string change;
  std::string_view controller;
  while (NextPiece(available, ' ', controller)) {
    if (!change.empty()) change.push_back(' ');
    change.append("+").append(controller);
  }
  if (change.empty()) return absl::OkStatus();
  return WriteKernelFile(directory + "/cgroup.subtree_control", change);
}

}  // namespace

absl::Status EnableControllers(const Cgroup& cgroup) {
  if (cgroup.mode() != CgroupMode::kV2) return absl::OkStatus();
  std::vector<std::string> ancestors;
  std::string directory = cgroup.Directory(Cgroup::kUnified);
  while (true) {
    size_t slash = directory.rfind('/');
    if (slash == std::string::npos || slash == 0) break;
    directory.resize(slash);
    // The mount's root has this file, what is above the mount has not.
    struct stat info;
    if (stat((directory + "/cgroup.controllers").c_str(), &info) != 0) break;
    ancestors.push_back(directory);
  }
  absl::Status last;
  for (auto ancestor = ancestors.rbegin(); ancestor != ancestors.rend();
       ++ancestor) {
    last = EnableControllersIn(*ancestor);
  }
  return last;
}

absl::Status AddProcess(std::string_view path, pid_t pid,
                        const CgroupHost& host) {
  HYDRA_ASSIGN_OR_RETURN(std::vector<std::string> names, SplitPath(path));
  HYDRA_ASSIGN_OR_RETURN(CgroupMode mode, DetectCgroupMode(host));
  if (mode == CgroupMode::kV1) return AddProcessV1(names, pid, host);
  std::string directory = host.prefix + std::string(kCgroupRoot);
  for (const std::string& name : names) directory.append("/").append(name);
  return Move(directory, pid);
}

}  // namespace hydra
