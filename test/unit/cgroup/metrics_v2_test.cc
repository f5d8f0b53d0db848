#include <catch2/catch.hpp>
#include <string>

#include "io/containerd/cgroups/v2/metrics.pb.h"
#include "shim/base/status.h"
#include "shim/cgroup/metrics.h"
#include "test/unit/cgroup/recorded_tree.h"

namespace hydra {
namespace {

namespace v2 = io::containerd::cgroups::v2;

const CgroupHost kHost = RecordedHost(CgroupMode::kV2);

v2::Metrics ReadOf(const Cgroup& cgroup, const CgroupHost& host) {
  absl::StatusOr<google::protobuf::Any> any = ReadMetrics(cgroup, host);
  REQUIRE(any.ok());
  CHECK(any->type_url() == "io.containerd.cgroups.v2.Metrics");
  v2::Metrics metrics;
  REQUIRE(metrics.ParseFromString(any->value()));
  return metrics;
}

v2::Metrics ReadOf(pid_t pid) {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(pid, kHost);
  REQUIRE(cgroup.ok());
  return ReadOf(*cgroup, kHost);
}

Cgroup CgroupAt(const std::string& directory) {
  absl::StatusOr<Cgroup> cgroup = Cgroup::FromPaths(
      {.mode = CgroupMode::kV2, .directories = {{"unified", directory}}});
  REQUIRE(cgroup.ok());
  return *std::move(cgroup);
}

void CheckPressure(const v2::PSIStats& psi, int n) {
  CHECK(psi.some().avg10() == n + 0.25);
  CHECK(psi.some().avg60() == n + 0.5);
  CHECK(psi.some().avg300() == n + 0.75);
  CHECK(psi.some().total() == static_cast<uint64_t>(n) * 1000 + 1);
  CHECK(psi.full().avg10() == 0.1);
  CHECK(psi.full().avg60() == 0.2);
  CHECK(psi.full().avg300() == 0.3);
  CHECK(psi.full().total() == static_cast<uint64_t>(n) * 1000 + 2);
}

TEST_CASE("v2 cpu", "[metrics][v2]") {
  const v2::CPUStat cpu = ReadOf(200).cpu();
  CHECK(cpu.usage_usec() == 101);
  CHECK(cpu.user_usec() == 102);
  CHECK(cpu.system_usec() == 103);
  CHECK(cpu.nr_periods() == 104);
  CHECK(cpu.nr_throttled() == 105);
  CHECK(cpu.throttled_usec() == 106);
  CHECK(cpu.nr_bursts() == 107);
  CHECK(cpu.burst_usec() == 108);
  CheckPressure(cpu.psi(), 1);
}

TEST_CASE("v2 memory.stat", "[metrics][v2]") {
  const v2::MemoryStat memory = ReadOf(200).memory();
  CHECK(memory.anon() == 301);
  CHECK(memory.file() == 302);
  CHECK(memory.kernel_stack() == 304);
  CHECK(memory.slab() == 327);
  CHECK(memory.sock() == 308);
  CHECK(memory.shmem() == 310);
  CHECK(memory.file_mapped() == 313);
  CHECK(memory.file_dirty() == 314);
  CHECK(memory.file_writeback() == 315);
  CHECK(memory.anon_thp() == 317);
  CHECK(memory.inactive_anon() == 320);
  CHECK(memory.active_anon() == 321);
  CHECK(memory.inactive_file() == 322);
  CHECK(memory.active_file() == 323);
  CHECK(memory.unevictable() == 324);
  CHECK(memory.slab_reclaimable() == 325);
  CHECK(memory.slab_unreclaimable() == 326);
  CHECK(memory.pgfault() == 343);
  CHECK(memory.pgmajfault() == 344);
  CHECK(memory.workingset_refault() == 330);
  CHECK(memory.workingset_activate() == 333);
  CHECK(memory.workingset_nodereclaim() == 336);
  CHECK(memory.pgrefill() == 345);
  CHECK(memory.pgscan() == 337);
  CHECK(memory.pgsteal() == 338);
  CHECK(memory.pgactivate() == 346);
  CHECK(memory.pgdeactivate() == 347);
  CHECK(memory.pglazyfree() == 348);
  CHECK(memory.pglazyfreed() == 349);
  CHECK(memory.thp_fault_alloc() == 352);
  CHECK(memory.thp_collapse_alloc() == 353);
}

TEST_CASE("v2 memory's other files", "[metrics][v2]") {
  const v2::Metrics metrics = ReadOf(200);
  const v2::MemoryStat& memory = metrics.memory();
  CHECK(memory.usage() == 401);
  CHECK(memory.usage_limit() == UINT64_MAX);
  CHECK(memory.max_usage() == 403);
  CHECK(memory.swap_usage() == 404);
  CHECK(memory.swap_limit() == 405);
  CHECK(memory.swap_max_usage() == 406);
  CheckPressure(memory.psi(), 2);

  const v2::MemoryEvents& events = metrics.memory_events();
  CHECK(events.low() == 1);
  CHECK(events.high() == 2);
  CHECK(events.max() == 3);
  CHECK(events.oom() == 4);
  CHECK(events.oom_kill() == 5);
  CHECK(events.oom_group_kill() == 6);
}

TEST_CASE("v2 pids, rdma and hugetlb", "[metrics][v2]") {
  const v2::Metrics metrics = ReadOf(200);
  CHECK(metrics.pids().current() == 9);
  CHECK(metrics.pids().limit() == UINT64_MAX);

  REQUIRE(metrics.rdma().current_size() == 1);
  CHECK(metrics.rdma().current(0).device() == "mlx4_0");
  CHECK(metrics.rdma().current(0).hca_handles() == 2);
  CHECK(metrics.rdma().current(0).hca_objects() == 2000);
  REQUIRE(metrics.rdma().limit_size() == 1);
  CHECK(metrics.rdma().limit(0).hca_handles() == UINT32_MAX);
  CHECK(metrics.rdma().limit(0).hca_objects() == 7000);

  REQUIRE(metrics.hugetlb_size() == 2);
  CHECK(metrics.hugetlb(0).pagesize() == "64KB");
  CHECK(metrics.hugetlb(0).current() == 65536);
  CHECK(metrics.hugetlb(0).max() == UINT64_MAX);
  CHECK(metrics.hugetlb(0).failcnt() == 8);
  CHECK(metrics.hugetlb(1).pagesize() == "2MB");
  CHECK(metrics.hugetlb(1).current() == 2097152);

  CHECK(metrics.network_size() == 0);
}

TEST_CASE("v2 io has an entry per device with figures", "[metrics][v2]") {
  const v2::IOStat io = ReadOf(200).io();
  REQUIRE(io.usage_size() == 2);
  CHECK(io.usage(0).major() == 8);
  CHECK(io.usage(0).minor() == 16);
  CHECK(io.usage(0).rbytes() == 1459200);
  CHECK(io.usage(0).wbytes() == 314773504);
  CHECK(io.usage(0).rios() == 192);
  CHECK(io.usage(0).wios() == 353);
  CHECK(io.usage(1).minor() == 0);
  CHECK(io.usage(1).rbytes() == 90430464);
  CheckPressure(io.psi(), 3);
}

TEST_CASE("v2 messages are there without their files", "[metrics][v2]") {
  const v2::Metrics metrics = ReadOf(201);
  CHECK(metrics.has_pids());
  CHECK(metrics.pids().limit() == 0);
  CHECK(metrics.cpu().usage_usec() == 11);
  CHECK_FALSE(metrics.cpu().has_psi());
  CHECK(metrics.has_memory());
  CHECK(metrics.memory().ByteSizeLong() == 0);
  CHECK(metrics.has_rdma());
  CHECK(metrics.has_io());
  CHECK_FALSE(metrics.io().has_psi());
  CHECK_FALSE(metrics.has_memory_events());
  REQUIRE(metrics.hugetlb_size() == 2);
  CHECK(metrics.hugetlb(0).pagesize() == "64KB");
  CHECK(metrics.hugetlb(0).max() == 0);
}

TEST_CASE("v2 without cpu.stat still has a cpu message", "[metrics][v2]") {
  TemporaryTree tree;
  const v2::Metrics metrics =
      ReadOf(CgroupAt(tree.path()), {.prefix = tree.path(), .mode = {}});
  CHECK(metrics.has_cpu());
  CHECK(metrics.cpu().ByteSizeLong() == 0);
  CHECK(metrics.hugetlb_size() == 0);
}

TEST_CASE("v2 pressure that is not understood is left out", "[metrics][v2]") {
  TemporaryTree tree;
  tree.Write("cpu.stat", "usage_usec 1\n");
  tree.Write("cpu.pressure", "some avg10=a avg60=0 avg300=0 total=1\n");
  const v2::Metrics metrics = ReadOf(CgroupAt(tree.path()), kHost);
  CHECK(metrics.cpu().usage_usec() == 1);
  CHECK_FALSE(metrics.cpu().has_psi());
}

TEST_CASE("v2 a number that is none counts as missing, but not in stat files",
          "[metrics][v2]") {
  TemporaryTree tree;
  const Cgroup cgroup = CgroupAt(tree.path());
  tree.Write("pids.current", "many\n");
  CHECK(ReadOf(cgroup, kHost).pids().current() == 0);
  tree.Write("cpu.stat", "usage_usec x\n");
  CHECK(absl::IsInternal(ReadMetrics(cgroup, kHost).status()));
}

TEST_CASE("v2 metrics of a removed cgroup are NotFound", "[metrics][v2]") {
  TemporaryTree tree;
  absl::Status status =
      ReadMetrics(CgroupAt(tree.path() + "/gone"), kHost).status();
  CHECK(absl::IsNotFound(status));
  CHECK(Message(status) == "cgroup does not exist: not found");
}

TEST_CASE("v2 files longer than the buffer are read whole", "[metrics][v2]") {
  TemporaryTree tree;
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += "259:" + std::to_string(i) + " rbytes=1 wbytes=2 rios=3 wios=4\n";
  }
  tree.Write("io.stat", text);
  const v2::IOStat io = ReadOf(CgroupAt(tree.path()), kHost).io();
  REQUIRE(io.usage_size() == 2000);
  CHECK(io.usage(1999).minor() == 1999);
  CHECK(io.usage(1999).wios() == 4);
}

}  // namespace
}  // namespace hydra
