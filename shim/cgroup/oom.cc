#include "shim/cgroup/oom.h"

#include <sys/eventfd.h>
#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"

namespace hydra {
namespace {

struct OomCounter {
  void set_kills(uint64_t value) { kills = value; }
  uint64_t kills = 0;
};

constexpr KeyField<OomCounter> kOomFields[] = {
    {"oom_kill", &OomCounter::set_kills},
};

// `path` is a memory.events or a memory.oom_control. Before Linux 4.13 the
// latter has no counter: 0. NotFound if the cgroup is gone.
absl::StatusOr<uint64_t> CountOomKills(const std::string& path) {
  KernelFileReader reader;
  HYDRA_ASSIGN_OR_RETURN(std::string_view text, reader.Read(path));
  OomCounter counter;
  HYDRA_RETURN_IF_ERROR(
      ParseKeyValues(text, path.c_str(), kOomFields, counter));
  return counter.kills;
}

// What an eventfd has counted, which is then 0 again; 0 if there is nothing.
absl::StatusOr<uint64_t> TakeEventCount(int fd) {
  uint64_t count = 0;
  ssize_t n;
  do {
    n = read(fd, &count, sizeof(count));
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno != EAGAIN) return ErrnoError(errno, "read eventfd");
  return n < 0 ? 0 : count;
}

// Throws away what inotify has queued: the files tell more.
absl::Status DrainInotify(int fd) {
  alignas(inotify_event) char buffer[4096];
  while (true) {
    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n > 0 || (n < 0 && errno == EINTR)) continue;
    if (n < 0 && errno != EAGAIN) return ErrnoError(errno, "read inotify");
    return absl::OkStatus();
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<OomWatcher>> OomWatcher::Watch(
    const Cgroup& cgroup, uint64_t seen, UniqueFd inherited) {
  const std::string& directory = cgroup.Directory("memory");
  if (directory.empty()) return NotFound("watch oom: no memory controller");
  std::unique_ptr<OomWatcher> watcher(
      new OomWatcher(cgroup.mode(), directory, seen));
  if (cgroup.mode() == CgroupMode::kV1) watcher->fd_ = std::move(inherited);
  HYDRA_RETURN_IF_ERROR(cgroup.mode() == CgroupMode::kV1 ? watcher->ArmV1()
                                                         : watcher->ArmV2());
  return watcher;
}

absl::StatusOr<OomEvents> OomWatcher::Read() {
  return mode_ == CgroupMode::kV1 ? ReadV1() : ReadV2();
}

absl::Status OomWatcher::RegisterV1(const std::string& oom_control) {
  fd_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd_.valid()) return ErrnoError(errno, "eventfd");
  UniqueFd control(open(oom_control.c_str(), O_RDONLY | O_CLOEXEC));
  if (!control.valid()) return ErrnoError(errno, "open", oom_control);
  return WriteKernelFile(
      directory_ + "/cgroup.event_control",
      std::to_string(fd_.get()) + " " + std::to_string(control.get()) + " ");
}

absl::Status OomWatcher::ArmV1() {
  const std::string path = directory_ + "/memory.oom_control";
  if (!fd_.valid()) HYDRA_RETURN_IF_ERROR(RegisterV1(path));

  // What happened while nobody watched: counted after the registration, so
  // that no kill falls between the two, and told by the descriptor.
  HYDRA_ASSIGN_OR_RETURN(uint64_t kills, CountOomKills(path));
  if (kills <= seen_) return absl::OkStatus();
  HYDRA_RETURN_IF_ERROR(TakeEventCount(fd_.get()).status());
  const uint64_t one = 1;
  if (write(fd_.get(), &one, sizeof(one)) < 0) {
    return ErrnoError(errno, "write eventfd");
  }
  seen_ = kills - 1;
  return absl::OkStatus();
}

absl::StatusOr<OomEvents> OomWatcher::ReadV1() {
  OomEvents events;
  HYDRA_ASSIGN_OR_RETURN(events.count, TakeEventCount(fd_.get()));
  absl::StatusOr<uint64_t> kills =
      CountOomKills(directory_ + "/memory.oom_control");
  if (absl::IsNotFound(kills.status())) {
    events.ended = true;
    // The removal itself is notified, too, and cannot be told from an OOM.
    if (events.count > 0) --events.count;
  }
  // What the eventfd had is taken, and must be told even if the counter could
  // not be read.
  seen_ += events.count;
  if (kills.ok()) seen_ = std::max(seen_, *kills);
  return events;
}

absl::Status OomWatcher::ArmV2() {
  fd_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd_.valid()) return ErrnoError(errno, "inotify_init1");
  // cgroup.events changes when the last process has gone; the removal of the
  // files is not reported by every kernel.
  for (const char* name : {"/memory.events", "/cgroup.events"}) {
    const std::string path = directory_ + name;
    if (inotify_add_watch(fd_.get(), path.c_str(), IN_MODIFY) < 0) {
      return ErrnoError(errno, "inotify_add_watch", path);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<OomEvents> OomWatcher::ReadV2() {
  OomEvents events;
  HYDRA_RETURN_IF_ERROR(DrainInotify(fd_.get()));
  absl::StatusOr<uint64_t> kills = CountOomKills(directory_ + "/memory.events");
  if (absl::IsNotFound(kills.status())) {
    events.ended = true;
    return events;
  }
  if (!kills.ok()) return std::move(kills).status();
  if (*kills > seen_) {
    events.count = 1;
    seen_ = *kills;
  }
  return events;
}

}  // namespace hydra
