#include "shim/mount/mount.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "shim/base/crash_point.h"
#include "shim/base/file.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/mount/fuse.h"
#include "shim/mount/idmap.h"
#include "shim/mount/loop.h"
#include "shim/mount/mount_call.h"
#include "shim/mount/options.h"
#include "shim/mount/overlay.h"
#include "shim/mount/target.h"

namespace hydra {
namespace {

constexpr mode_t kRootfsMode = 0711;
constexpr size_t kMaxIdMap = 64 * 1024;

// The mount points of the mounts made so far, one entry for each mount.
using MadeMounts = std::vector<std::string>;

// Lazily: nobody was told of these mounts yet, and one with others below it
// (`rbind`) goes in one step.
void Undo(const MadeMounts& made) {
  for (auto path = made.rbegin(); path != made.rend(); ++path) {
    umount2(path->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  }
}

absl::Status MakeRootfs(const std::string& rootfs) {
  if (mkdir(rootfs.c_str(), kRootfsMode) < 0) {
    return errno == EEXIST ? absl::OkStatus()
                           : ErrnoError(errno, "mkdir", rootfs);
  }
  // Whatever the umask is: a container in a user namespace enters as
  // "others".
  if (chmod(rootfs.c_str(), kRootfsMode) < 0) {
    return ErrnoError(errno, "chmod", rootfs);
  }
  return absl::OkStatus();
}

// The initial user namespace is the one that maps every id to itself; see
// user_namespaces(7).
bool InUserNamespace() {
  const auto map = ReadFile("/proc/thread-self/uid_map", kMaxIdMap);
  if (!map.ok()) return false;
  unsigned inside = 0;
  unsigned outside = 0;
  unsigned size = 0;
  if (sscanf(map->c_str(), "%u %u %u", &inside, &outside, &size) != 3) {
    return false;
  }
  return inside != 0 || outside != 0 || size != 4294967295U;
}

// The flags of the mount of `fd` that a less privileged user namespace may
// not clear, and so has to repeat in a remount; see mount_namespaces(7).
absl::StatusOr<unsigned long> LockedFlags(int fd) {
  constexpr struct {
    unsigned long statfs_flag;
    unsigned long mount_flag;
  } kFlags[] = {
      {ST_RDONLY, MS_RDONLY},         {ST_NODEV, MS_NODEV},
      {ST_NOEXEC, MS_NOEXEC},         {ST_NOSUID, MS_NOSUID},
      {ST_NOATIME, MS_NOATIME},       {ST_RELATIME, MS_RELATIME},
      {ST_NODIRATIME, MS_NODIRATIME},
  };
  struct statfs info;
  if (fstatfs(fd, &info) < 0) return ErrnoError(errno, "fstatfs");
  unsigned long flags = 0;
  for (const auto& flag : kFlags) {
    if (static_cast<unsigned long>(info.f_flags) & flag.statfs_flag) {
      flags |= flag.mount_flag;
    }
  }
  return flags;
}

// One mount, from its options to the last change.
class Component final {
 public:
  Component(const Mount& mount, MadeMounts& made)
      : mount_(mount), made_(made) {}

  absl::Status Make(const std::string& rootfs);

 private:
  absl::Status MakeFuse(const FuseHelper& helper);
  absl::Status MakeWithKernel();
  absl::Status MakeReadOnly();
  absl::Status Idmap();

  const Mount& mount_;
  MadeMounts& made_;
  MountOptions options_;
  UniqueFd target_;   // What is mounted on.
  std::string path_;  // Its path.
  UniqueFd user_namespace_;
};

absl::Status Component::Make(const std::string& rootfs) {
  HYDRA_ASSIGN_OR_RETURN(options_, ParseMountOptions(mount_.options));
  HYDRA_ASSIGN_OR_RETURN(target_, OpenTarget(rootfs, mount_.target));
  HYDRA_ASSIGN_OR_RETURN(path_, PathOf(target_.get()));
  if (const auto helper = FindFuseHelper(mount_.type)) {
    return MakeFuse(*helper);
  }
  if (options_.idmapped()) {
    HYDRA_ASSIGN_OR_RETURN(
        user_namespace_, CreateUserNamespace(options_.uidmap, options_.gidmap));
  }
  // A remount without data says nothing to the filesystem.
  if ((options_.flags & MS_REMOUNT) == 0 || !options_.data.empty()) {
    HYDRA_RETURN_IF_ERROR(MakeWithKernel());
    if ((options_.flags & MS_REMOUNT) == 0) made_.push_back(path_);
  }
  constexpr unsigned long kReadOnlyBind = MS_BIND | MS_RDONLY;
  if ((options_.flags & kReadOnlyBind) == kReadOnlyBind) {
    HYDRA_RETURN_IF_ERROR(MakeReadOnly());
  }
  if (options_.idmapped() && mount_.type != "overlay") {
    HYDRA_RETURN_IF_ERROR(Idmap());
  }
  if (options_.propagation == 0) return absl::OkStatus();
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd top, OpenTop(target_.get()));
  return ChangeMount(top.get(), options_.propagation);
}

absl::Status Component::MakeFuse(const FuseHelper& helper) {
  HYDRA_ASSIGN_OR_RETURN(const int before, MountIdOf(target_.get()));
  const absl::Status status =
      RunFuseHelper(helper, mount_.source, path_, mount_.options);
  // A helper that fails may have mounted, and one that mounts may fail after.
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd top, OpenTop(target_.get()));
  HYDRA_ASSIGN_OR_RETURN(const int after, MountIdOf(top.get()));
  if (after != before) made_.push_back(path_);
  if (status.ok() && after == before) {
    return Unknown(absl::StrCat("run ", helper.program, ": nothing mounted"));
  }
  return status;
}

absl::Status Component::MakeWithKernel() {
  MountCall call = {mount_.source, target_.get(), mount_.type, options_.flags,
                    ""};
  // Keeps the device attached until it is mounted.
  LoopDevice loop;
  if (options_.loop) {
    const LoopParams params = {(options_.flags & MS_RDONLY) != 0,
                               options_.direct_io};
    HYDRA_ASSIGN_OR_RETURN(loop, AttachLoop(mount_.source, params));
    call.source = loop.path;
  }
  if (mount_.type == "overlay") {
    return options_.idmapped()
               ? MountIdmappedOverlay(std::move(call), options_.data,
                                      user_namespace_.get())
               : MountOverlay(std::move(call), options_.data);
  }
  HYDRA_ASSIGN_OR_RETURN(
      call.data,
      JoinData(options_.data, static_cast<size_t>(sysconf(_SC_PAGESIZE))));
  return Perform(call);
}

// mount(2) ignores MS_RDONLY when it makes a bind mount.
absl::Status Component::MakeReadOnly() {
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd top, OpenTop(target_.get()));
  unsigned long flags = options_.flags | MS_REMOUNT;
  if (InUserNamespace()) {
    HYDRA_ASSIGN_OR_RETURN(const unsigned long locked, LockedFlags(top.get()));
    flags |= locked;
  }
  return ChangeMount(top.get(), flags);
}

// Owners cannot be shifted in a mount that is attached already, so a shifted
// copy takes its place.
absl::Status Component::Idmap() {
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd top, OpenTop(target_.get()));
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd tree, CloneTree(top.get()));
  HYDRA_RETURN_IF_ERROR(ShiftOwners(tree.get(), user_namespace_.get(), false));
  if (umount2(FdPath(top.get()).c_str(), MNT_DETACH) < 0) {
    return ErrnoError(errno, "unmount", path_);
  }
  made_.pop_back();
  HYDRA_RETURN_IF_ERROR(AttachTree(tree.get(), target_.get()));
  made_.push_back(path_);
  return absl::OkStatus();
}

absl::Status FailedMount(const Mount& mount, const std::string& rootfs,
                         const absl::Status& status) {
  const std::string target =
      mount.target.empty()
          ? rootfs
          : absl::StrCat(rootfs, mount.target.starts_with('/') ? "" : "/",
                         mount.target);
  return Unknown(
      absl::StrCat("mount source: \"", absl::Utf8SafeCEscape(mount.source),
                   "\", target: \"", absl::Utf8SafeCEscape(target),
                   "\", fstype: ", mount.type, ": ", Message(status)));
}

}  // namespace

absl::Status MountRootfs(const std::vector<Mount>& mounts,
                         const std::string& rootfs) {
  if (absl::Status status = MakeRootfs(rootfs); !status.ok()) {
    return Unknown(Message(status));
  }
  MadeMounts made;
  absl::Cleanup undo = [&] { Undo(made); };
  for (const Mount& mount : mounts) {
    HYDRA_CRASH_POINT("mount.mount");
    absl::Status status = Component(mount, made).Make(rootfs);
    HYDRA_CRASH_POINT("mount.mounted");
    if (!status.ok()) return FailedMount(mount, rootfs, status);
  }
  std::move(undo).Cancel();
  return absl::OkStatus();
}

}  // namespace hydra
