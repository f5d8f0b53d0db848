#include "shim/cgroup/beside.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/cgroup/cpuset.h"
#include "shim/cgroup/kernel_file.h"
#include "shim/cgroup/mounts.h"

namespace hydra {
namespace {

constexpr std::string_view kName = "/hydra-monitors";
// A monitor that ends may remove it between our making and our entering it.
constexpr int kAttempts = 5;

absl::Status Make(const BesideCgroup& beside) {
  if (mkdir(beside.directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "mkdir", beside.directory);
  }
  return beside.cpuset ? InheritCpuset(beside.parent, beside.directory)
                       : absl::OkStatus();
}

absl::StatusOr<pid_t> ForkInto(const std::string& directory) {
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd cgroup, OpenCgroupDirectory(directory));
  clone_args arguments = {};
  arguments.flags = CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<uint64_t>(cgroup.get());
  const long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (pid >= 0) return static_cast<pid_t>(pid);
  // A kernel that knows less of clone_args says E2BIG.
  if (errno == E2BIG || errno == EINVAL || errno == ENOSYS) {
    return Unimplemented("fork into cgroup: not by this kernel");
  }
  return ErrnoError(errno, "fork into", directory);
}

}  // namespace

absl::StatusOr<std::vector<BesideCgroup>> FindBeside(const CgroupHost& host) {
  HYDRA_ASSIGN_OR_RETURN(std::vector<CgroupMembership> memberships,
                         ReadCgroupMemberships("self", host));
  std::vector<BesideCgroup> found;
  std::optional<std::vector<CgroupMount>> mounts;
  for (const CgroupMembership& membership : memberships) {
    if (membership.path == "/") continue;
    // Only now: where an engine was started by hand there is nothing to read.
    if (!mounts) {
      HYDRA_ASSIGN_OR_RETURN(mounts, ReadCgroupMounts(host));
    }
    const std::optional<CgroupPlace> place =
        FindPlace(membership, *mounts, host);
    if (!place || place->directory == host.prefix + place->mount->mount_point) {
      continue;
    }
    BesideCgroup beside;
    beside.parent = place->directory.substr(0, place->directory.rfind('/'));
    beside.directory = beside.parent + std::string(kName);
    beside.unified = membership.unified();
    beside.cpuset = place->mount->Has("cpuset");
    if (place->directory != beside.directory) found.push_back(beside);
  }
  return found;
}

absl::Status EnterBeside(const BesideCgroup& beside) {
  // Thread 0 is the calling one. For it alone the kernel need not hold all
  // forks of the machine back, which is what takes a grace period
  // (kernel/cgroup/cgroup.c: cgroup_procs_write_start). v2 has it move whole
  // processes only.
  const std::string file =
      beside.directory + (beside.unified ? "/cgroup.procs" : "/tasks");
  absl::Status status;
  for (int i = 0; i < kAttempts; ++i) {
    HYDRA_RETURN_IF_ERROR(Make(beside));
    status = WriteKernelFile(file, "0");
    if (!absl::IsNotFound(status)) break;
  }
  if (!status.ok()) rmdir(beside.directory.c_str());
  return status;
}

absl::StatusOr<pid_t> ForkBeside(const BesideCgroup& beside) {
  absl::StatusOr<pid_t> pid;
  for (int i = 0; i < kAttempts; ++i) {
    HYDRA_RETURN_IF_ERROR(Make(beside));
    pid = ForkInto(beside.directory);
    if (!absl::IsNotFound(pid.status())) break;
  }
  if (!pid.ok()) rmdir(beside.directory.c_str());
  return pid;
}

void RemoveBeside(const std::vector<BesideCgroup>& all) {
  for (const BesideCgroup& beside : all) rmdir(beside.directory.c_str());
}

}  // namespace hydra
