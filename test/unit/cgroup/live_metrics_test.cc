#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "io/containerd/cgroups/v1/metrics.pb.h"
#include "io/containerd/cgroups/v2/metrics.pb.h"
#include "shim/base/status.h"
#include "shim/cgroup/control.h"
#include "shim/cgroup/metrics.h"
#include "test/unit/cgroup/live_cgroup.h"

namespace hydra {
namespace {

namespace v1 = io::containerd::cgroups::v1;
namespace v2 = io::containerd::cgroups::v2;

constexpr size_t kMegabyte = 1 << 20;
constexpr size_t kMemory = 8 * kMegabyte;
constexpr const char* kHybrid = "/sys/fs/cgroup/unified";

// 30 ms of processor time and kMemory of memory.
void Work() {
  UseMemory(kMemory);
  timespec used;
  do {
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  } while (used.tv_sec == 0 && used.tv_nsec < 30'000'000);
}

Cgroup CgroupOf(pid_t pid) {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(pid);
  REQUIRE(cgroup.ok());
  return *std::move(cgroup);
}

template <typename Metrics>
Metrics ReadOf(const Cgroup& cgroup) {
  absl::StatusOr<google::protobuf::Any> any = ReadMetrics(cgroup);
  REQUIRE(any.ok());
  REQUIRE(any->type_url() == Metrics().GetTypeName());
  Metrics metrics;
  REQUIRE(metrics.ParseFromString(any->value()));
  return metrics;
}

bool Has(const Cgroup& cgroup, const char* controller, const char* file) {
  const std::string& directory = cgroup.Directory(controller);
  return !directory.empty() &&
         access((directory + "/" + file).c_str(), R_OK) == 0;
}

void NeedMode(CgroupMode mode) {
  NeedCgroups();
  absl::StatusOr<CgroupMode> found = DetectCgroupMode();
  if (!found.ok() || *found != mode) {
    SkipTest(mode == CgroupMode::kV1 ? "needs cgroup v1" : "needs cgroup v2");
  }
}

TEST_CASE("AddProcess moves a process in every hierarchy", "[live]") {
  NeedCgroups();
  absl::StatusOr<CgroupMode> mode = DetectCgroupMode();
  REQUIRE(mode.ok());
  LiveCgroup live;
  const pid_t pid = live.Spawn([] {});
  REQUIRE(pid > 0);
  std::ifstream file("/proc/" + std::to_string(pid) + "/cgroup");
  std::string line;
  int lines = 0;
  while (std::getline(file, line)) {
    // A v2 hierarchy that is not mounted has a line all the same.
    if (line.rfind("0::", 0) == 0 && *mode == CgroupMode::kV1 &&
        access(kHybrid, F_OK) != 0) {
      continue;
    }
    INFO(line);
    CHECK(line.substr(line.rfind(':') + 1) == live.path());
    ++lines;
  }
  CHECK(lines > 0);
  CHECK(live.Remove());
}

TEST_CASE("AddProcess of a process that does not exist is NotFound", "[live]") {
  NeedCgroups();
  LiveCgroup live;
  const pid_t pid = live.Spawn([] { _exit(0); });
  REQUIRE(pid > 0);
  CHECK(live.Reap(pid) == 0);
  CHECK(absl::IsNotFound(AddProcess(live.path(), pid)));
  CHECK(live.Remove());
}

TEST_CASE("v1 metrics of a process that works", "[live]") {
  NeedMode(CgroupMode::kV1);
  LiveCgroup live;
  const Cgroup cgroup = CgroupOf(live.Spawn(Work));
  const v1::Metrics metrics = ReadOf<v1::Metrics>(cgroup);
  if (Has(cgroup, "pids", "pids.current")) {
#if !defined(__SANITIZE_THREAD__)  // Which has a thread of its own.
    CHECK(metrics.pids().current() == 1);
#endif
    CHECK(metrics.pids().limit() == 0);
    REQUIRE(WriteControl(cgroup.Directory("pids"), "pids.max", "17"));
    CHECK(ReadOf<v1::Metrics>(cgroup).pids().limit() == 17);
  }
  if (Has(cgroup, "cpuacct", "cpuacct.usage")) {
    CHECK(metrics.cpu().usage().total() >= 20'000'000);
    CHECK(metrics.cpu().usage().per_cpu_size() >= 1);
  }
  if (Has(cgroup, "memory", "memory.stat")) {
    CHECK(metrics.memory().rss() >= kMemory);
    CHECK(metrics.memory().total_rss() >= kMemory);
    CHECK(metrics.memory().pg_fault() > 0);
    CHECK(metrics.memory().usage().usage() >= kMemory);
    CHECK(metrics.memory().usage().max() >= kMemory);
    CHECK(metrics.memory().usage().limit() > kMemory);
    CHECK(metrics.has_memory_oom_control());
    REQUIRE(WriteControl(cgroup.Directory("memory"), "memory.limit_in_bytes",
                         "134217728"));
    const v1::MemoryStat limited = ReadOf<v1::Metrics>(cgroup).memory();
    CHECK(limited.usage().limit() == 134217728);
    CHECK(limited.hierarchical_memory_limit() == 134217728);
  }
  CHECK(live.Remove());
}

TEST_CASE("v1 blkio is read where no device has figures yet", "[live]") {
  NeedMode(CgroupMode::kV1);
  LiveCgroup live;
  const Cgroup cgroup = CgroupOf(live.Spawn([] {}));
  if (!Has(cgroup, "blkio", "blkio.throttle.io_serviced")) {
    live.Remove();
    SkipTest("needs the blkio controller");
  }
  CHECK(ReadOf<v1::Metrics>(cgroup).has_blkio());
  CHECK(live.Remove());
}

TEST_CASE("v2 metrics of a process that works", "[live]") {
  NeedMode(CgroupMode::kV2);
  LiveCgroup live;
  const Cgroup cgroup = CgroupOf(live.Spawn(Work));
  const v2::Metrics metrics = ReadOf<v2::Metrics>(cgroup);
  if (Has(cgroup, "pids", "pids.current")) {
    CHECK(metrics.pids().current() == 1);
    CHECK(metrics.pids().limit() == UINT64_MAX);
  }
  CHECK(metrics.cpu().usage_usec() >= 20'000);
  if (Has(cgroup, "memory", "memory.stat")) {
    CHECK(metrics.memory().anon() >= kMemory);
    CHECK(metrics.memory().usage() >= kMemory);
    CHECK(metrics.memory().usage_limit() == UINT64_MAX);
    CHECK(metrics.memory().pgfault() > 0);
    CHECK(metrics.has_memory_events());
    REQUIRE(
        WriteControl(cgroup.Directory("memory"), "memory.max", "134217728"));
    CHECK(ReadOf<v2::Metrics>(cgroup).memory().usage_limit() == 134217728);
  }
  CHECK(live.Remove());
}

TEST_CASE("metrics stay after the last exit and are NotFound after removal",
          "[live]") {
  NeedCgroups();
  LiveCgroup live;
  const pid_t pid = live.Spawn([] {});
  const Cgroup cgroup = CgroupOf(pid);
  kill(pid, SIGKILL);
  CHECK(live.Reap(pid) == SIGKILL);
  CHECK(ReadMetrics(cgroup).ok());
  CHECK(live.Remove());
  const absl::Status status = ReadMetrics(cgroup).status();
  CHECK(absl::IsNotFound(status));
  CHECK(Message(status) == "cgroup does not exist: not found");
}

TEST_CASE("reading metrics leaves no descriptor open", "[live]") {
  NeedCgroups();
  auto open_now = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  LiveCgroup live;
  const Cgroup cgroup = CgroupOf(live.Spawn([] {}));
  const auto before = open_now();
  for (int i = 0; i < 10; ++i) CHECK(ReadMetrics(cgroup).ok());
  CHECK(open_now() == before);
  CHECK(live.Remove());
}

// The v2 tree of hybrid mode has few controllers, but it is a real one.
TEST_CASE("v2 metrics from the tree of hybrid mode", "[live]") {
  NeedCgroups();
  if (access((std::string(kHybrid) + "/cgroup.controllers").c_str(), R_OK)) {
    SkipTest("needs hybrid mode");
  }
  LiveCgroup live;
  REQUIRE(live.Spawn(Work) > 0);
  absl::StatusOr<Cgroup> cgroup =
      Cgroup::FromPaths({.mode = CgroupMode::kV2,
                         .directories = {{"unified", kHybrid + live.path()}}});
  REQUIRE(cgroup.ok());
  const v2::Metrics metrics = ReadOf<v2::Metrics>(*cgroup);
  CHECK(metrics.cpu().usage_usec() >= 20'000);
  CHECK(metrics.cpu().has_psi() == Has(*cgroup, "cpu", "cpu.pressure"));
  CHECK(metrics.io().has_psi() == Has(*cgroup, "io", "io.pressure"));
  CHECK(live.Remove());
  CHECK(absl::IsNotFound(ReadMetrics(*cgroup).status()));
}

TEST_CASE("EnableControllers on the tree of hybrid mode", "[live]") {
  NeedCgroups();
  const std::string root = kHybrid;
  auto content = [&](const char* name) {
    std::ifstream file(root + "/" + name);
    std::string text;
    std::getline(file, text);
    return text;
  };
  if (content("cgroup.controllers") != "hugetlb" ||
      !content("cgroup.subtree_control").empty()) {
    SkipTest("needs hybrid mode with hugetlb, not enabled, and nothing else");
  }
  LiveCgroup live;
  REQUIRE(live.Spawn([] {}) > 0);
  absl::StatusOr<Cgroup> cgroup =
      Cgroup::FromPaths({.mode = CgroupMode::kV2,
                         .directories = {{"unified", root + live.path()}}});
  REQUIRE(cgroup.ok());
  CHECK(EnableControllers(*cgroup).ok());
  CHECK(content("cgroup.subtree_control") == "hugetlb");
  const v2::Metrics metrics = ReadOf<v2::Metrics>(*cgroup);
  REQUIRE(metrics.hugetlb_size() > 0);
  // 0 if the file were still missing.
  CHECK(metrics.hugetlb(0).max() > 0);
  CHECK(live.Remove());
  CHECK(WriteControl(root, "cgroup.subtree_control", "-hugetlb"));
  CHECK(content("cgroup.subtree_control").empty());
}

}  // namespace
}  // namespace hydra
