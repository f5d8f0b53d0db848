#include "shim/cgroup/oom.h"

#include <poll.h>

#include <catch2/catch.hpp>
#include <string>

#include "test/unit/cgroup/recorded_tree.h"

namespace hydra {
namespace {

// A v2 cgroup of plain files, which inotify watches as it does the kernel's.
class FakeCgroup final {
 public:
  explicit FakeCgroup(int oom_kills = 0) {
    SetOomKills(oom_kills);
    SetPopulated(true);
  }
  void SetOomKills(int n) {
    tree_.Write("memory.events", "low 0\nhigh 0\nmax 9\noom 9\noom_kill " +
                                     std::to_string(n) + "\n");
  }
  void SetPopulated(bool populated) {
    tree_.Write("cgroup.events", populated ? "populated 1\nfrozen 0\n"
                                           : "populated 0\nfrozen 0\n");
  }
  const TemporaryTree& tree() const { return tree_; }
  Cgroup cgroup() const {
    absl::StatusOr<Cgroup> cgroup = Cgroup::FromPaths(
        {.mode = CgroupMode::kV2, .directories = {{"unified", tree_.path()}}});
    REQUIRE(cgroup.ok());
    return *std::move(cgroup);
  }

 private:
  TemporaryTree tree_;
};

std::unique_ptr<OomWatcher> WatchOf(const FakeCgroup& fake, uint64_t seen = 0) {
  absl::StatusOr<std::unique_ptr<OomWatcher>> watcher =
      OomWatcher::Watch(fake.cgroup(), seen);
  REQUIRE(watcher.ok());
  return *std::move(watcher);
}

bool Readable(const OomWatcher& watcher) {
  pollfd fd = {.fd = watcher.fd(), .events = POLLIN, .revents = 0};
  return poll(&fd, 1, 0) == 1;
}

uint64_t Count(OomWatcher& watcher) {
  absl::StatusOr<OomEvents> events = watcher.Read();
  REQUIRE(events.ok());
  CHECK_FALSE(events->ended);
  return events->count;
}

TEST_CASE("v2 an OOM kill wakes the loop and is one event", "[oom]") {
  FakeCgroup fake;
  std::unique_ptr<OomWatcher> watcher = WatchOf(fake);
  CHECK_FALSE(Readable(*watcher));
  CHECK(Count(*watcher) == 0);
  fake.SetOomKills(3);
  CHECK(Readable(*watcher));
  CHECK(Count(*watcher) == 1);
  CHECK_FALSE(Readable(*watcher));
  CHECK(Count(*watcher) == 0);
  CHECK(watcher->seen() == 3);
  fake.SetOomKills(4);
  CHECK(Count(*watcher) == 1);
}

TEST_CASE("v2 other changes wake the loop and are no event", "[oom]") {
  FakeCgroup fake;
  std::unique_ptr<OomWatcher> watcher = WatchOf(fake);
  fake.SetPopulated(false);
  CHECK(Readable(*watcher));
  CHECK(Count(*watcher) == 0);
  CHECK_FALSE(Readable(*watcher));
}

TEST_CASE("v2 a watcher that goes on from seen repeats nothing", "[oom]") {
  FakeCgroup fake;
  std::unique_ptr<OomWatcher> first = WatchOf(fake);
  fake.SetOomKills(2);
  CHECK(Count(*first) == 1);
  const uint64_t seen = first->seen();
  first.reset();

  std::unique_ptr<OomWatcher> second = WatchOf(fake, seen);
  CHECK(Count(*second) == 0);
  fake.SetOomKills(3);
  CHECK(Count(*second) == 1);
}

TEST_CASE("v2 a kill before the watch is found by the first Read", "[oom]") {
  FakeCgroup fake(5);
  std::unique_ptr<OomWatcher> watcher = WatchOf(fake, 4);
  CHECK(Count(*watcher) == 1);
  CHECK(watcher->seen() == 5);
}

TEST_CASE("v2 the watch ends when the cgroup is gone", "[oom]") {
  FakeCgroup fake;
  std::unique_ptr<OomWatcher> watcher = WatchOf(fake);
  fake.tree().Remove("memory.events");
  absl::StatusOr<OomEvents> events = watcher->Read();
  REQUIRE(events.ok());
  CHECK(events->ended);
  CHECK(events->count == 0);
}

TEST_CASE("v2 without a memory controller there is nothing to watch", "[oom]") {
  FakeCgroup fake;
  fake.tree().Remove("memory.events");
  CHECK(absl::IsNotFound(OomWatcher::Watch(fake.cgroup()).status()));
}

TEST_CASE("v1 without a memory controller there is nothing to watch", "[oom]") {
  absl::StatusOr<Cgroup> cgroup =
      Cgroup::FromPaths({.mode = CgroupMode::kV1,
                         .directories = {{"pids", "/sys/fs/cgroup/pids/x"}}});
  REQUIRE(cgroup.ok());
  CHECK(absl::IsNotFound(OomWatcher::Watch(*cgroup).status()));
}

TEST_CASE("a number that is none is an error, and the watch goes on", "[oom]") {
  FakeCgroup fake;
  std::unique_ptr<OomWatcher> watcher = WatchOf(fake);
  fake.tree().Write("memory.events", "oom_kill x\n");
  CHECK(absl::IsInternal(watcher->Read().status()));
  fake.SetOomKills(1);
  CHECK(Count(*watcher) == 1);
}

}  // namespace
}  // namespace hydra
