#include <unistd.h>

#include <array>
#include <map>
#include <optional>
#include <utility>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"
#include "shim/cgroup/metrics_internal.h"

namespace hydra {
namespace {

namespace v1 = io::containerd::cgroups::v1;

constexpr KeyField<v1::Throttle> kThrottleFields[] = {
    {"nr_periods", &v1::Throttle::set_periods},
    {"nr_throttled", &v1::Throttle::set_throttled_periods},
    {"throttled_time", &v1::Throttle::set_throttled_time},
};

// cpuacct.stat, in ticks.
constexpr KeyField<v1::CPUUsage> kUsageFields[] = {
    {"user", &v1::CPUUsage::set_user},
    {"system", &v1::CPUUsage::set_kernel},
};

constexpr KeyField<v1::MemoryOomControl> kOomControlFields[] = {
    {"oom_kill_disable", &v1::MemoryOomControl::set_oom_kill_disable},
    {"under_oom", &v1::MemoryOomControl::set_under_oom},
    {"oom_kill", &v1::MemoryOomControl::set_oom_kill},
};

constexpr KeyField<v1::MemoryStat> kMemoryFields[] = {
    {"cache", &v1::MemoryStat::set_cache},
    {"rss", &v1::MemoryStat::set_rss},
    {"rss_huge", &v1::MemoryStat::set_rss_huge},
    {"mapped_file", &v1::MemoryStat::set_mapped_file},
    {"dirty", &v1::MemoryStat::set_dirty},
    {"writeback", &v1::MemoryStat::set_writeback},
    {"pgpgin", &v1::MemoryStat::set_pg_pg_in},
    {"pgpgout", &v1::MemoryStat::set_pg_pg_out},
    {"pgfault", &v1::MemoryStat::set_pg_fault},
    {"pgmajfault", &v1::MemoryStat::set_pg_maj_fault},
    {"inactive_anon", &v1::MemoryStat::set_inactive_anon},
    {"active_anon", &v1::MemoryStat::set_active_anon},
    {"inactive_file", &v1::MemoryStat::set_inactive_file},
    {"active_file", &v1::MemoryStat::set_active_file},
    {"unevictable", &v1::MemoryStat::set_unevictable},
    {"hierarchical_memory_limit",
     &v1::MemoryStat::set_hierarchical_memory_limit},
    {"hierarchical_memsw_limit", &v1::MemoryStat::set_hierarchical_swap_limit},
    {"total_cache", &v1::MemoryStat::set_total_cache},
    {"total_rss", &v1::MemoryStat::set_total_rss},
    {"total_rss_huge", &v1::MemoryStat::set_total_rss_huge},
    {"total_mapped_file", &v1::MemoryStat::set_total_mapped_file},
    {"total_dirty", &v1::MemoryStat::set_total_dirty},
    {"total_writeback", &v1::MemoryStat::set_total_writeback},
    {"total_pgpgin", &v1::MemoryStat::set_total_pg_pg_in},
    {"total_pgpgout", &v1::MemoryStat::set_total_pg_pg_out},
    {"total_pgfault", &v1::MemoryStat::set_total_pg_fault},
    {"total_pgmajfault", &v1::MemoryStat::set_total_pg_maj_fault},
    {"total_inactive_anon", &v1::MemoryStat::set_total_inactive_anon},
    {"total_active_anon", &v1::MemoryStat::set_total_active_anon},
    {"total_inactive_file", &v1::MemoryStat::set_total_inactive_file},
    {"total_active_file", &v1::MemoryStat::set_total_active_file},
    {"total_unevictable", &v1::MemoryStat::set_total_unevictable},
};

// The files of one MemoryEntry.
struct MemoryEntryFiles {
  const char* limit;
  const char* usage;
  const char* max;
  const char* failcnt;
  v1::MemoryEntry* (v1::MemoryStat::*entry)();
};

constexpr MemoryEntryFiles kMemoryEntries[] = {
    {"memory.limit_in_bytes", "memory.usage_in_bytes",
     "memory.max_usage_in_bytes", "memory.failcnt",
     &v1::MemoryStat::mutable_usage},
    {"memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes",
     "memory.memsw.max_usage_in_bytes", "memory.memsw.failcnt",
     &v1::MemoryStat::mutable_swap},
    {"memory.kmem.limit_in_bytes", "memory.kmem.usage_in_bytes",
     "memory.kmem.max_usage_in_bytes", "memory.kmem.failcnt",
     &v1::MemoryStat::mutable_kernel},
    {"memory.kmem.tcp.limit_in_bytes", "memory.kmem.tcp.usage_in_bytes",
     "memory.kmem.tcp.max_usage_in_bytes", "memory.kmem.tcp.failcnt",
     &v1::MemoryStat::mutable_kernel_tcp},
};

using BlkIOEntries = google::protobuf::RepeatedPtrField<v1::BlkIOEntry>;

struct BlkIOFile {
  const char* name;
  BlkIOEntries* (v1::BlkIOStat::*entries)();
};

// Of the CFQ scheduler, which Linux 5.0 removed.
constexpr BlkIOFile kCfqFiles[] = {
    {"blkio.io_serviced_recursive",
     &v1::BlkIOStat::mutable_io_serviced_recursive},
    {"blkio.io_service_bytes_recursive",
     &v1::BlkIOStat::mutable_io_service_bytes_recursive},
    {"blkio.io_queued_recursive", &v1::BlkIOStat::mutable_io_queued_recursive},
    {"blkio.io_service_time_recursive",
     &v1::BlkIOStat::mutable_io_service_time_recursive},
    {"blkio.io_wait_time_recursive",
     &v1::BlkIOStat::mutable_io_wait_time_recursive},
    {"blkio.io_merged_recursive", &v1::BlkIOStat::mutable_io_merged_recursive},
    {"blkio.time_recursive", &v1::BlkIOStat::mutable_io_time_recursive},
    {"blkio.sectors_recursive", &v1::BlkIOStat::mutable_sectors_recursive},
};

// These count whatever the scheduler is.
constexpr BlkIOFile kThrottleFiles[] = {
    {"blkio.throttle.io_serviced",
     &v1::BlkIOStat::mutable_io_serviced_recursive},
    {"blkio.throttle.io_service_bytes",
     &v1::BlkIOStat::mutable_io_service_bytes_recursive},
};

class Reader final {
 public:
  Reader(const Cgroup& cgroup, const CgroupHost& host, v1::Metrics& metrics)
      : cgroup_(cgroup), host_(host), metrics_(metrics) {}

  absl::Status ReadAll();

 private:
  using Device = std::pair<uint64_t, uint64_t>;

  // Each reads one controller from its directory. NotFound, for a missing
  // file, leaves the controller out or as far as it has come.
  absl::Status ReadCpu(int directory);
  absl::Status ReadCpuacct(int directory);
  absl::Status ReadMemory(int directory);
  absl::Status ReadPids(int directory);
  absl::Status ReadBlkIO(int directory);
  absl::Status ReadHugetlb(int directory);
  absl::Status ReadRdma(int directory);

  absl::Status ReadBlkIOFile(int directory, const char* name,
                             BlkIOEntries& entries);
  // /dev/..., or empty for a device that /proc/partitions does not have.
  absl::StatusOr<std::string> DeviceName(Device device);

  absl::Status Number(int directory, const char* name, uint64_t& value) {
    return files_.ReadNumber(directory, name, /*max=*/0, value);
  }

  const Cgroup& cgroup_;
  const CgroupHost& host_;
  v1::Metrics& metrics_;
  KernelFileReader files_;
  // Read when the first device is met; files_ is in use at that time.
  std::optional<std::map<Device, std::string>> devices_;
};

absl::Status Reader::ReadAll() {
  struct Controller {
    const char* name;
    absl::Status (Reader::*read)(int);
  };
  static constexpr Controller kControllers[] = {
      {"cpu", &Reader::ReadCpu},         {"cpuacct", &Reader::ReadCpuacct},
      {"memory", &Reader::ReadMemory},   {"pids", &Reader::ReadPids},
      {"blkio", &Reader::ReadBlkIO},     {"rdma", &Reader::ReadRdma},
      {"hugetlb", &Reader::ReadHugetlb},
  };
  metrics_.mutable_cpu()->mutable_usage();
  metrics_.mutable_cpu()->mutable_throttling();
  bool exists = false;
  for (const Controller& controller : kControllers) {
    const std::string& path = cgroup_.Directory(controller.name);
    if (path.empty()) continue;
    absl::StatusOr<UniqueFd> directory = OpenCgroupDirectory(path);
    if (!directory.ok()) {
      HYDRA_RETURN_IF_ERROR(IgnoreNotFound(directory.status()));
      continue;
    }
    exists = true;
    HYDRA_RETURN_IF_ERROR(
        IgnoreNotFound((this->*controller.read)(directory->get())));
  }
  return exists ? absl::OkStatus() : CgroupGone();
}

absl::Status Reader::ReadCpu(int directory) {
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         files_.Read(directory, "cpu.stat"));
  return ParseKeyValues(text, "cpu.stat", kThrottleFields,
                        *metrics_.mutable_cpu()->mutable_throttling());
}

absl::Status Reader::ReadCpuacct(int directory) {
  v1::CPUUsage usage;
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         files_.Read(directory, "cpuacct.stat"));
  HYDRA_RETURN_IF_ERROR(
      ParseKeyValues(text, "cpuacct.stat", kUsageFields, usage));
  const uint64_t nanoseconds_per_tick =
      1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  usage.set_user(usage.user() * nanoseconds_per_tick);
  usage.set_kernel(usage.kernel() * nanoseconds_per_tick);

  uint64_t total = 0;
  HYDRA_RETURN_IF_ERROR(Number(directory, "cpuacct.usage", total));
  usage.set_total(total);

  HYDRA_ASSIGN_OR_RETURN(text, files_.Read(directory, "cpuacct.usage_percpu"));
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::string_view piece;
  while (NextPiece(text, ' ', piece)) {
    std::optional<uint64_t> value = ParseNumber(piece);
    if (!value) return Internal("parse cpuacct.usage_percpu: no number");
    usage.add_per_cpu(*value);
  }
  metrics_.mutable_cpu()->mutable_usage()->Swap(&usage);
  return absl::OkStatus();
}

absl::Status Reader::ReadMemory(int directory) {
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         files_.Read(directory, "memory.stat"));
  v1::MemoryStat& memory = *metrics_.mutable_memory();
  HYDRA_RETURN_IF_ERROR(
      ParseKeyValues(text, "memory.stat", kMemoryFields, memory));
  for (const MemoryEntryFiles& files : kMemoryEntries) {
    v1::MemoryEntry& entry = *(memory.*files.entry)();
    uint64_t limit = 0, usage = 0, max = 0, failcnt = 0;
    // Without swap accounting there are no memsw files, and newer kernels
    // drop those of kmem one by one.
    for (auto [name, value] :
         {std::pair(files.limit, &limit), std::pair(files.usage, &usage),
          std::pair(files.max, &max), std::pair(files.failcnt, &failcnt)}) {
      HYDRA_RETURN_IF_ERROR(IgnoreNotFound(Number(directory, name, *value)));
    }
    entry.set_limit(limit);
    entry.set_usage(usage);
    entry.set_max(max);
    entry.set_failcnt(failcnt);
  }
  HYDRA_ASSIGN_OR_RETURN(text, files_.Read(directory, "memory.oom_control"));
  return ParseKeyValues(text, "memory.oom_control", kOomControlFields,
                        *metrics_.mutable_memory_oom_control());
}

absl::Status Reader::ReadPids(int directory) {
  uint64_t current = 0, limit = 0;
  HYDRA_RETURN_IF_ERROR(Number(directory, "pids.current", current));
  HYDRA_RETURN_IF_ERROR(Number(directory, "pids.max", limit));
  metrics_.mutable_pids()->set_current(current);
  metrics_.mutable_pids()->set_limit(limit);
  return absl::OkStatus();
}

absl::Status Reader::ReadBlkIO(int directory) {
  v1::BlkIOStat& blkio = *metrics_.mutable_blkio();
  int entries = 0;
  for (const BlkIOFile& file : kCfqFiles) {
    BlkIOEntries& to = *(blkio.*file.entries)();
    absl::Status status = ReadBlkIOFile(directory, file.name, to);
    if (absl::IsNotFound(status)) break;
    HYDRA_RETURN_IF_ERROR(status);
    entries += to.size();
  }
  if (entries > 0) return absl::OkStatus();
  for (const BlkIOFile& file : kThrottleFiles) {
    HYDRA_RETURN_IF_ERROR(
        ReadBlkIOFile(directory, file.name, *(blkio.*file.entries)()));
  }
  return absl::OkStatus();
}

// Lines of "8:0 Read 4096" or "8:0 4096", then "Total 4096".
absl::Status Reader::ReadBlkIOFile(int directory, const char* name,
                                   BlkIOEntries& entries) {
  HYDRA_ASSIGN_OR_RETURN(std::string_view text, files_.Read(directory, name));
  std::string_view line;
  while (NextPiece(text, '\n', line)) {
    std::string_view numbers, major_text;
    NextPiece(line, ' ', numbers);
    if (numbers == "Total") continue;
    NextPiece(numbers, ':', major_text);
    std::optional<uint64_t> major = ParseNumber(major_text);
    std::optional<uint64_t> minor = ParseNumber(numbers);
    std::string_view op;
    if (line.find(' ') != std::string_view::npos) NextPiece(line, ' ', op);
    std::optional<uint64_t> value = ParseNumber(line);
    if (!major || !minor || !value) {
      return Internal(std::string("parse ") + name + ": unexpected line");
    }
    HYDRA_ASSIGN_OR_RETURN(std::string device, DeviceName({*major, *minor}));
    v1::BlkIOEntry& entry = *entries.Add();
    entry.set_op(std::string(op));
    entry.set_device(std::move(device));
    entry.set_major(*major);
    entry.set_minor(*minor);
    entry.set_value(*value);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Reader::DeviceName(Device device) {
  if (!devices_) {
    devices_.emplace();
    KernelFileReader files;
    HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                           files.Read(host_.prefix + "/proc/partitions"));
    std::string_view line;
    while (NextPiece(text, '\n', line)) {
      std::array<std::string_view, 4> columns;  // major minor #blocks name
      for (std::string_view& column : columns) NextPiece(line, ' ', column);
      std::optional<uint64_t> major = ParseNumber(columns[0]);
      std::optional<uint64_t> minor = ParseNumber(columns[1]);
      // The heading has none.
      if (!major || !minor) continue;
      devices_->emplace(Device(*major, *minor),
                        "/dev/" + std::string(columns[3]));
    }
  }
  auto found = devices_->find(device);
  return found == devices_->end() ? std::string() : found->second;
}

absl::Status Reader::ReadHugetlb(int directory) {
  for (const std::string& size : HugePageSizes(host_)) {
    const std::string stem = "hugetlb." + size;
    uint64_t usage = 0, max = 0, failcnt = 0;
    HYDRA_RETURN_IF_ERROR(
        Number(directory, (stem + ".usage_in_bytes").c_str(), usage));
    HYDRA_RETURN_IF_ERROR(
        Number(directory, (stem + ".max_usage_in_bytes").c_str(), max));
    HYDRA_RETURN_IF_ERROR(
        Number(directory, (stem + ".failcnt").c_str(), failcnt));
    v1::HugetlbStat& entry = *metrics_.add_hugetlb();
    entry.set_usage(usage);
    entry.set_max(max);
    entry.set_failcnt(failcnt);
    entry.set_pagesize(size);
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadRdma(int directory) {
  v1::RdmaStat rdma;
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         files_.Read(directory, "rdma.current"));
  ParseRdma(text, *rdma.mutable_current());
  HYDRA_ASSIGN_OR_RETURN(text, files_.Read(directory, "rdma.max"));
  ParseRdma(text, *rdma.mutable_limit());
  // A device came or went between the two.
  if (rdma.current_size() != rdma.limit_size()) return absl::OkStatus();
  metrics_.mutable_rdma()->Swap(&rdma);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::Metrics> ReadMetricsV1(const Cgroup& cgroup,
                                          const CgroupHost& host) {
  v1::Metrics metrics;
  HYDRA_RETURN_IF_ERROR(Reader(cgroup, host, metrics).ReadAll());
  return metrics;
}

}  // namespace hydra
