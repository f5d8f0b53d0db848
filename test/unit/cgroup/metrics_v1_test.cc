#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

#include "io/containerd/cgroups/v1/metrics.pb.h"
#include "shim/base/status.h"
#include "shim/cgroup/metrics.h"
#include "test/unit/cgroup/recorded_tree.h"

namespace hydra {
namespace {

namespace v1 = io::containerd::cgroups::v1;

const CgroupHost kHost = RecordedHost(CgroupMode::kV1);

v1::Metrics ReadOf(pid_t pid) {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(pid, kHost);
  REQUIRE(cgroup.ok());
  absl::StatusOr<google::protobuf::Any> any = ReadMetrics(*cgroup, kHost);
  REQUIRE(any.ok());
  CHECK(any->type_url() == "io.containerd.cgroups.v1.Metrics");
  v1::Metrics metrics;
  REQUIRE(metrics.ParseFromString(any->value()));
  return metrics;
}

// A v1 cgroup made of the directories of `tree`.
Cgroup CgroupOf(const TemporaryTree& tree,
                std::initializer_list<const char*> controllers) {
  CgroupPaths paths;
  for (const char* controller : controllers) {
    paths.directories[controller] = tree.path() + "/" + controller;
  }
  absl::StatusOr<Cgroup> cgroup = Cgroup::FromPaths(std::move(paths));
  REQUIRE(cgroup.ok());
  return *std::move(cgroup);
}

void CheckEntry(const v1::BlkIOEntry& entry, std::string_view op,
                std::string_view device, uint64_t minor, uint64_t value) {
  CHECK(entry.op() == op);
  CHECK(entry.device() == device);
  CHECK(entry.minor() == minor);
  CHECK(entry.value() == value);
}

TEST_CASE("v1 cpu is in nanoseconds", "[metrics][v1]") {
  const v1::CPUStat cpu = ReadOf(100).cpu();
  CHECK(cpu.usage().total() == 1'700'000'000);
  // USER_HZ is 100 on every Linux.
  CHECK(cpu.usage().user() == 1'230'000'000);
  CHECK(cpu.usage().kernel() == 450'000'000);
  REQUIRE(cpu.usage().per_cpu_size() == 4);
  CHECK(cpu.usage().per_cpu(0) == 900'000'000);
  CHECK(cpu.usage().per_cpu(1) == 800'000'000);
  CHECK(cpu.usage().per_cpu(3) == 0);
  CHECK(cpu.throttling().periods() == 41);
  CHECK(cpu.throttling().throttled_periods() == 42);
  CHECK(cpu.throttling().throttled_time() == 43'000'000'000);
}

TEST_CASE("v1 memory.stat fills the local fields", "[metrics][v1]") {
  const v1::MemoryStat memory = ReadOf(100).memory();
  CHECK(memory.cache() == 1001);
  CHECK(memory.rss() == 1002);
  CHECK(memory.rss_huge() == 1003);
  CHECK(memory.mapped_file() == 1005);
  CHECK(memory.dirty() == 1006);
  CHECK(memory.writeback() == 1007);
  CHECK(memory.pg_pg_in() == 1009);
  CHECK(memory.pg_pg_out() == 1010);
  CHECK(memory.pg_fault() == 1011);
  CHECK(memory.pg_maj_fault() == 1012);
  CHECK(memory.inactive_anon() == 1013);
  CHECK(memory.active_anon() == 1014);
  CHECK(memory.inactive_file() == 1015);
  CHECK(memory.active_file() == 1016);
  CHECK(memory.unevictable() == 1017);
  CHECK(memory.hierarchical_memory_limit() == 268435456);
  CHECK(memory.hierarchical_swap_limit() == 536870912);
}

TEST_CASE("v1 memory.stat fills the total fields", "[metrics][v1]") {
  const v1::MemoryStat memory = ReadOf(100).memory();
  CHECK(memory.total_cache() == 2001);
  CHECK(memory.total_rss() == 2002);
  CHECK(memory.total_rss_huge() == 2003);
  CHECK(memory.total_mapped_file() == 2005);
  CHECK(memory.total_dirty() == 2006);
  CHECK(memory.total_writeback() == 2007);
  CHECK(memory.total_pg_pg_in() == 2009);
  CHECK(memory.total_pg_pg_out() == 2010);
  CHECK(memory.total_pg_fault() == 2011);
  CHECK(memory.total_pg_maj_fault() == 2012);
  CHECK(memory.total_inactive_anon() == 2013);
  CHECK(memory.total_active_anon() == 2014);
  CHECK(memory.total_inactive_file() == 2015);
  CHECK(memory.total_active_file() == 2016);
  CHECK(memory.total_unevictable() == 2017);
}

TEST_CASE("v1 memory entries come from four files each", "[metrics][v1]") {
  const v1::MemoryStat memory = ReadOf(100).memory();
  CHECK(memory.usage().limit() == 101);
  CHECK(memory.usage().usage() == 102);
  CHECK(memory.usage().max() == 103);
  CHECK(memory.usage().failcnt() == 104);
  CHECK(memory.swap().limit() == 201);
  CHECK(memory.swap().usage() == 202);
  CHECK(memory.swap().max() == 203);
  CHECK(memory.swap().failcnt() == 204);
  CHECK(memory.kernel().limit() == 9223372036854771712u);
  CHECK(memory.kernel().usage() == 302);
  CHECK(memory.kernel().max() == 303);
  CHECK(memory.kernel().failcnt() == 304);
  CHECK(memory.kernel_tcp().limit() == 401);
  CHECK(memory.kernel_tcp().usage() == 402);
  CHECK(memory.kernel_tcp().max() == 403);
  CHECK(memory.kernel_tcp().failcnt() == 404);
}

TEST_CASE("v1 pids, oom control, hugetlb and rdma", "[metrics][v1]") {
  const v1::Metrics metrics = ReadOf(100);
  CHECK(metrics.pids().current() == 7);
  CHECK(metrics.pids().limit() == 512);

  CHECK(metrics.memory_oom_control().oom_kill_disable() == 0);
  CHECK(metrics.memory_oom_control().under_oom() == 1);
  CHECK(metrics.memory_oom_control().oom_kill() == 3);

  REQUIRE(metrics.hugetlb_size() == 2);
  CHECK(metrics.hugetlb(0).pagesize() == "2MB");
  CHECK(metrics.hugetlb(0).usage() == 2097152);
  CHECK(metrics.hugetlb(0).max() == 4194304);
  CHECK(metrics.hugetlb(0).failcnt() == 5);
  CHECK(metrics.hugetlb(1).pagesize() == "1GB");
  CHECK(metrics.hugetlb(1).usage() == 1073741824);

  REQUIRE(metrics.rdma().current_size() == 2);
  CHECK(metrics.rdma().current(0).device() == "mlx4_0");
  CHECK(metrics.rdma().current(0).hca_handles() == 2);
  CHECK(metrics.rdma().current(0).hca_objects() == 2000);
  REQUIRE(metrics.rdma().limit_size() == 2);
  CHECK(metrics.rdma().limit(0).hca_handles() == 10);
  CHECK(metrics.rdma().limit(0).hca_objects() == UINT32_MAX);
  CHECK(metrics.rdma().limit(1).device() == "ocrdma1");

  CHECK(metrics.network_size() == 0);
  CHECK_FALSE(metrics.has_cgroup_stats());
}

TEST_CASE("v1 blkio without CFQ comes from the throttle files",
          "[metrics][v1]") {
  const v1::BlkIOStat blkio = ReadOf(100).blkio();
  REQUIRE(blkio.io_serviced_recursive_size() == 7);
  CheckEntry(blkio.io_serviced_recursive(0), "Read", "/dev/sda", 0, 11);
  CHECK(blkio.io_serviced_recursive(0).major() == 8);
  CheckEntry(blkio.io_serviced_recursive(5), "Total", "/dev/sda", 0, 38);
  CheckEntry(blkio.io_serviced_recursive(6), "Read", "/dev/dm-0", 0, 16);
  REQUIRE(blkio.io_service_bytes_recursive_size() == 3);
  CheckEntry(blkio.io_service_bytes_recursive(1), "Write", "/dev/sda", 0,
             49152);
  // /proc/partitions does not have it.
  CheckEntry(blkio.io_service_bytes_recursive(2), "Read", "", 3, 4096);
  CHECK(blkio.io_queued_recursive_size() == 0);
}

TEST_CASE("v1 blkio with CFQ comes from the recursive files", "[metrics][v1]") {
  const v1::BlkIOStat blkio = ReadOf(101).blkio();
  REQUIRE(blkio.io_service_bytes_recursive_size() == 2);
  CheckEntry(blkio.io_service_bytes_recursive(0), "Read", "/dev/sda", 0, 1);
  REQUIRE(blkio.io_serviced_recursive_size() == 2);
  CheckEntry(blkio.io_serviced_recursive(0), "Read", "/dev/sda", 0, 2);
  CHECK(blkio.io_queued_recursive(0).value() == 3);
  CHECK(blkio.io_service_time_recursive(0).value() == 4);
  CHECK(blkio.io_wait_time_recursive(0).value() == 5);
  CHECK(blkio.io_merged_recursive(0).value() == 6);
  REQUIRE(blkio.io_time_recursive_size() == 1);
  CheckEntry(blkio.io_time_recursive(0), "", "/dev/sda", 0, 7);
  REQUIRE(blkio.sectors_recursive_size() == 1);
  CheckEntry(blkio.sectors_recursive(0), "", "/dev/sda", 0, 8);
}

TEST_CASE("v1 leaves out what has no files", "[metrics][v1]") {
  const v1::Metrics metrics = ReadOf(101);
  // Clients dereference these two.
  CHECK(metrics.cpu().has_usage());
  CHECK(metrics.cpu().has_throttling());
  CHECK(metrics.cpu().usage().total() == 0);
  CHECK(metrics.memory().cache() == 5);
  CHECK(metrics.memory().usage().usage() == 77);
  CHECK(metrics.memory().has_swap());
  CHECK(metrics.memory().has_kernel());
  CHECK(metrics.memory().has_kernel_tcp());
  CHECK_FALSE(metrics.has_memory_oom_control());
  CHECK(metrics.hugetlb_size() == 0);
  // Current and limit do not match.
  CHECK_FALSE(metrics.has_rdma());
}

TEST_CASE("v1 gives a pids limit of max as 0", "[metrics][v1]") {
  CHECK(ReadOf(101).pids().current() == 3);
  CHECK(ReadOf(101).pids().limit() == 0);
}

TEST_CASE("v1 metrics of a saved and loaded cgroup are the same",
          "[metrics][v1]") {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(100, kHost);
  REQUIRE(cgroup.ok());
  absl::StatusOr<Cgroup> loaded = Cgroup::FromPaths(cgroup->paths());
  REQUIRE(loaded.ok());
  absl::StatusOr<google::protobuf::Any> any = ReadMetrics(*loaded, kHost);
  REQUIRE(any.ok());
  v1::Metrics metrics;
  REQUIRE(metrics.ParseFromString(any->value()));
  CHECK(metrics.SerializeAsString() == ReadOf(100).SerializeAsString());
}

TEST_CASE("v1 metrics of a removed cgroup are NotFound", "[metrics][v1]") {
  TemporaryTree tree;
  tree.Write("pids/pids.current", "1\n");
  const Cgroup cgroup = CgroupOf(tree, {"pids", "memory", "cpu"});
  CHECK(ReadMetrics(cgroup, kHost).ok());
  tree.Remove("pids");
  absl::Status status = ReadMetrics(cgroup, kHost).status();
  CHECK(absl::IsNotFound(status));
  CHECK(Message(status) == "cgroup does not exist: not found");
}

TEST_CASE("v1 without any controller that counts is NotFound",
          "[metrics][v1]") {
  TemporaryTree tree;
  tree.Write("name=systemd/tasks", "");
  CHECK(absl::IsNotFound(
      ReadMetrics(CgroupOf(tree, {"name=systemd"}), kHost).status()));
}

TEST_CASE("a file of a cgroup that is removed while open counts as missing",
          "[metrics]") {
  CHECK(absl::IsNotFound(ErrnoError(ENODEV, "read", "memory.stat")));
}

TEST_CASE("v1 a file without its number is an error that names it",
          "[metrics][v1]") {
  TemporaryTree tree;
  const Cgroup cgroup = CgroupOf(tree, {"memory", "pids", "blkio", "cpuacct"});
  tree.Write("pids/pids.current", "many\n");
  tree.Write("pids/pids.max", "max\n");
  absl::Status status = ReadMetrics(cgroup, kHost).status();
  CHECK(absl::IsInternal(status));
  CHECK(Message(status) == "parse pids.current: no number");

  tree.Write("pids/pids.current", "");
  CHECK(absl::IsInternal(ReadMetrics(cgroup, kHost).status()));
  tree.Write("pids/pids.current", "1\n");
  CHECK(ReadMetrics(cgroup, kHost).ok());

  tree.Write("memory/memory.stat", "new_key a b c\ncache x\n");
  status = ReadMetrics(cgroup, kHost).status();
  CHECK(Message(status) == "parse memory.stat: no number for cache");
  tree.Write("memory/memory.stat", "new_key a b c\ncache\n");
  CHECK(absl::IsInternal(ReadMetrics(cgroup, kHost).status()));
  tree.Write("memory/memory.stat", "new_key a b c\ncache 1\n");
  CHECK(ReadMetrics(cgroup, kHost).ok());

  tree.Write("blkio/blkio.throttle.io_serviced", "8:0 Read\n");
  CHECK(absl::IsInternal(ReadMetrics(cgroup, kHost).status()));
}

TEST_CASE("v1 negative and huge numbers", "[metrics][v1]") {
  TemporaryTree tree;
  tree.Write("pids/pids.current", "18446744073709551615\n");
  tree.Write("pids/pids.max", "-1\n");
  const Cgroup cgroup = CgroupOf(tree, {"pids"});
  absl::StatusOr<google::protobuf::Any> any = ReadMetrics(cgroup, kHost);
  REQUIRE(any.ok());
  v1::Metrics metrics;
  REQUIRE(metrics.ParseFromString(any->value()));
  CHECK(metrics.pids().current() == UINT64_MAX);
  CHECK(metrics.pids().limit() == 0);
  tree.Write("pids/pids.current", "18446744073709551616\n");
  CHECK(absl::IsInternal(ReadMetrics(cgroup, kHost).status()));
}

}  // namespace
}  // namespace hydra
