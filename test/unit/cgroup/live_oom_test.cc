#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <string>

#include "io/containerd/cgroups/v1/metrics.pb.h"
#include "io/containerd/cgroups/v2/metrics.pb.h"
#include "shim/cgroup/metrics.h"
#include "shim/cgroup/oom.h"
#include "test/unit/cgroup/live_cgroup.h"

namespace hydra {
namespace {

constexpr const char* kLimit = "16777216";
constexpr size_t kTooMuch = 64 << 20;

// A cgroup with a memory limit and one process that stays below it.
class LimitedCgroup final {
 public:
  LimitedCgroup() {
    NeedCgroups();
    pid_ = live_.Spawn([] {});
    absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(pid_);
    REQUIRE(cgroup.ok());
    cgroup_.emplace(*std::move(cgroup));
    const std::string& directory = cgroup_->Directory("memory");
    const bool v1 = cgroup_->mode() == CgroupMode::kV1;
    if (directory.empty() ||
        !WriteControl(directory, v1 ? "memory.limit_in_bytes" : "memory.max",
                      kLimit)) {
      live_.Remove();
      SkipTest("needs the memory controller");
    }
  }

  const Cgroup& cgroup() const { return *cgroup_; }
  pid_t pid() const { return pid_; }
  LiveCgroup& live() { return live_; }

  // A process that the kernel kills for its use of memory.
  void CauseOom() {
    const pid_t pid = live_.Spawn([] { UseMemory(kTooMuch); });
    REQUIRE(pid > 0);
    const int status = live_.Reap(pid);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);
  }

 private:
  LiveCgroup live_;
  std::optional<Cgroup> cgroup_;
  pid_t pid_ = -1;
};

std::unique_ptr<OomWatcher> WatchOf(const Cgroup& cgroup, uint64_t seen = 0) {
  absl::StatusOr<std::unique_ptr<OomWatcher>> watcher =
      OomWatcher::Watch(cgroup, seen);
  REQUIRE(watcher.ok());
  return *std::move(watcher);
}

bool WaitReadable(const OomWatcher& watcher) {
  pollfd fd = {.fd = watcher.fd(), .events = POLLIN, .revents = 0};
  return poll(&fd, 1, 10'000) == 1;
}

OomEvents ReadOf(OomWatcher& watcher) {
  absl::StatusOr<OomEvents> events = watcher.Read();
  REQUIRE(events.ok());
  return *events;
}

TEST_CASE("an OOM kill is told once, and is there when the death is seen",
          "[live][oom]") {
  LimitedCgroup limited;
  std::unique_ptr<OomWatcher> watcher = WatchOf(limited.cgroup());
  CHECK(ReadOf(*watcher).count == 0);
  limited.CauseOom();
  // Without waiting for the descriptor.
  const OomEvents events = ReadOf(*watcher);
  CHECK(events.count == 1);
  CHECK_FALSE(events.ended);
  CHECK(ReadOf(*watcher).count == 0);
  CHECK(limited.live().Remove());
}

TEST_CASE("an OOM kill makes the descriptor readable", "[live][oom]") {
  LimitedCgroup limited;
  std::unique_ptr<OomWatcher> watcher = WatchOf(limited.cgroup());
  ReadOf(*watcher);
  limited.CauseOom();
  CHECK(WaitReadable(*watcher));
  CHECK(ReadOf(*watcher).count == 1);
  CHECK(limited.live().Remove());
}

TEST_CASE("an OOM kill is in the metrics", "[live][oom]") {
  LimitedCgroup limited;
  limited.CauseOom();
  absl::StatusOr<google::protobuf::Any> any = ReadMetrics(limited.cgroup());
  REQUIRE(any.ok());
  if (limited.cgroup().mode() == CgroupMode::kV1) {
    io::containerd::cgroups::v1::Metrics metrics;
    REQUIRE(metrics.ParseFromString(any->value()));
    CHECK(metrics.memory_oom_control().oom_kill() == 1);
    CHECK(metrics.memory().usage().failcnt() > 0);
  } else {
    io::containerd::cgroups::v2::Metrics metrics;
    REQUIRE(metrics.ParseFromString(any->value()));
    CHECK(metrics.memory_events().oom_kill() == 1);
  }
  CHECK(limited.live().Remove());
}

TEST_CASE("a watcher that goes on from seen repeats no OOM kill",
          "[live][oom]") {
  LimitedCgroup limited;
  std::unique_ptr<OomWatcher> first = WatchOf(limited.cgroup());
  limited.CauseOom();
  CHECK(ReadOf(*first).count == 1);
  const uint64_t seen = first->seen();
  first.reset();

  std::unique_ptr<OomWatcher> second = WatchOf(limited.cgroup(), seen);
  CHECK(ReadOf(*second).count == 0);
  limited.CauseOom();
  CHECK(ReadOf(*second).count == 1);
  CHECK(limited.live().Remove());
}

TEST_CASE("an OOM kill that nobody watched is told to the next watcher",
          "[live][oom]") {
  LimitedCgroup limited;
  const uint64_t seen = WatchOf(limited.cgroup())->seen();
  limited.CauseOom();
  limited.CauseOom();
  std::unique_ptr<OomWatcher> watcher = WatchOf(limited.cgroup(), seen);
  CHECK(ReadOf(*watcher).count == 1);
  CHECK(ReadOf(*watcher).count == 0);
  CHECK(WatchOf(limited.cgroup(), watcher->seen())->Read()->count == 0);
  CHECK(limited.live().Remove());
}

TEST_CASE("the removal of the cgroup ends the watch without an event",
          "[live][oom]") {
  LimitedCgroup limited;
  std::unique_ptr<OomWatcher> watcher = WatchOf(limited.cgroup());
  CHECK_FALSE(ReadOf(*watcher).ended);
  CHECK(limited.live().Remove());
  CHECK(WaitReadable(*watcher));
  const OomEvents events = ReadOf(*watcher);
  CHECK(events.ended);
  CHECK(events.count == 0);
}

TEST_CASE("a normal death is no OOM event", "[live][oom]") {
  LimitedCgroup limited;
  std::unique_ptr<OomWatcher> watcher = WatchOf(limited.cgroup());
  kill(limited.pid(), SIGKILL);
  CHECK(limited.live().Reap(limited.pid()) == SIGKILL);
  CHECK(ReadOf(*watcher).count == 0);
  CHECK(limited.live().Remove());
}

}  // namespace
}  // namespace hydra
