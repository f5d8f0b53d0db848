// Out-of-memory events of a cgroup, for an event loop.
//
// Poll fd() for readability, and call Read() when it is readable, right after
// Watch(), and once more when the container's init has exited: the kernel
// counts the kill before it reports the death, so nothing can be missed then,
// whether or not the descriptor has become readable.
//
// One thread at a time.

#ifndef HYDRA_CGROUP_OOM_H_
#define HYDRA_CGROUP_OOM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"
#include "shim/cgroup/cgroup.h"

namespace hydra {

struct OomEvents {
  // New ones since the last Read().
  uint64_t count = 0;
  // The cgroup is gone: take fd() out of the loop, there will be no more.
  bool ended = false;
};

// v1: an eventfd registered for memory.oom_control, one event per notification
// (admin-guide/cgroup-v1/memory.rst, "OOM Control"). The kernel notifies a
// cgroup of an OOM in it or in one above it.
// v2: inotify on memory.events and cgroup.events; one event when the counter
// oom_kill has grown, by however much. It counts kills in the whole subtree.
class OomWatcher final {
 public:
  // `seen` is what seen() was when the events up to then had been passed on; 0
  // for a new container. Kills beyond it are found by the next Read() as one
  // event, on v1 too. `inherited` is the fd() of an earlier watcher of this
  // cgroup, or none: v1 notifies of an OOM before it counts the kill, so one
  // that a dead watcher did not read is known to its descriptor alone.
  // NotFound: the cgroup does not exist, or has no memory controller. Others:
  // as ErrnoError has them.
  static absl::StatusOr<std::unique_ptr<OomWatcher>> Watch(
      const Cgroup& cgroup, uint64_t seen = 0, UniqueFd inherited = {});

  OomWatcher(const OomWatcher&) = delete;
  OomWatcher& operator=(const OomWatcher&) = delete;

  // Stays the watcher's; readable when there may be something to Read().
  int fd() const { return fd_.get(); }

  // Never blocks. After an error, which is as ErrnoError has it, the watch
  // goes on.
  absl::StatusOr<OomEvents> Read();

  // What has been told so far. To be saved before its events are passed on or
  // after, as the caller would rather lose or repeat one when it dies between.
  uint64_t seen() const { return seen_; }

 private:
  OomWatcher(CgroupMode mode, std::string directory, uint64_t seen)
      : mode_(mode), directory_(std::move(directory)), seen_(seen) {}

  absl::Status RegisterV1(const std::string& oom_control);
  absl::Status ArmV1();
  absl::Status ArmV2();
  absl::StatusOr<OomEvents> ReadV1();
  absl::StatusOr<OomEvents> ReadV2();

  const CgroupMode mode_;
  const std::string directory_;
  UniqueFd fd_;
  // v2: the counter oom_kill. v1: the greater of the same counter, in
  // memory.oom_control, and the notifications, which come before the kill.
  uint64_t seen_;
};

}  // namespace hydra

#endif  // HYDRA_CGROUP_OOM_H_
