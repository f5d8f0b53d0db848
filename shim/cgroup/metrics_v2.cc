#include <charconv>
#include <optional>
#include <utility>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"
#include "shim/cgroup/metrics_internal.h"

namespace hydra {
namespace {

namespace v2 = io::containerd::cgroups::v2;

constexpr KeyField<v2::CPUStat> kCpuFields[] = {
    {"usage_usec", &v2::CPUStat::set_usage_usec},
    {"user_usec", &v2::CPUStat::set_user_usec},
    {"system_usec", &v2::CPUStat::set_system_usec},
    {"nr_periods", &v2::CPUStat::set_nr_periods},
    {"nr_throttled", &v2::CPUStat::set_nr_throttled},
    {"throttled_usec", &v2::CPUStat::set_throttled_usec},
    {"nr_bursts", &v2::CPUStat::set_nr_bursts},
    {"burst_usec", &v2::CPUStat::set_burst_usec},
};

constexpr KeyField<v2::MemoryStat> kMemoryFields[] = {
    {"anon", &v2::MemoryStat::set_anon},
    {"file", &v2::MemoryStat::set_file},
    {"kernel_stack", &v2::MemoryStat::set_kernel_stack},
    {"sock", &v2::MemoryStat::set_sock},
    {"shmem", &v2::MemoryStat::set_shmem},
    {"file_mapped", &v2::MemoryStat::set_file_mapped},
    {"file_dirty", &v2::MemoryStat::set_file_dirty},
    {"file_writeback", &v2::MemoryStat::set_file_writeback},
    {"anon_thp", &v2::MemoryStat::set_anon_thp},
    {"inactive_anon", &v2::MemoryStat::set_inactive_anon},
    {"active_anon", &v2::MemoryStat::set_active_anon},
    {"inactive_file", &v2::MemoryStat::set_inactive_file},
    {"active_file", &v2::MemoryStat::set_active_file},
    {"unevictable", &v2::MemoryStat::set_unevictable},
    {"slab_reclaimable", &v2::MemoryStat::set_slab_reclaimable},
    {"slab_unreclaimable", &v2::MemoryStat::set_slab_unreclaimable},
    {"slab", &v2::MemoryStat::set_slab},
    {"workingset_refault", &v2::MemoryStat::set_workingset_refault},
    {"workingset_activate", &v2::MemoryStat::set_workingset_activate},
    {"workingset_nodereclaim", &v2::MemoryStat::set_workingset_nodereclaim},
    {"pgscan", &v2::MemoryStat::set_pgscan},
    {"pgsteal", &v2::MemoryStat::set_pgsteal},
    {"pgfault", &v2::MemoryStat::set_pgfault},
    {"pgmajfault", &v2::MemoryStat::set_pgmajfault},
    {"pgrefill", &v2::MemoryStat::set_pgrefill},
    {"pgactivate", &v2::MemoryStat::set_pgactivate},
    {"pgdeactivate", &v2::MemoryStat::set_pgdeactivate},
    {"pglazyfree", &v2::MemoryStat::set_pglazyfree},
    {"pglazyfreed", &v2::MemoryStat::set_pglazyfreed},
    {"thp_fault_alloc", &v2::MemoryStat::set_thp_fault_alloc},
    {"thp_collapse_alloc", &v2::MemoryStat::set_thp_collapse_alloc},
};

constexpr KeyField<v2::MemoryEvents> kMemoryEventFields[] = {
    {"low", &v2::MemoryEvents::set_low},
    {"high", &v2::MemoryEvents::set_high},
    {"max", &v2::MemoryEvents::set_max},
    {"oom", &v2::MemoryEvents::set_oom},
    {"oom_kill", &v2::MemoryEvents::set_oom_kill},
    {"oom_group_kill", &v2::MemoryEvents::set_oom_group_kill},
};

// hugetlb.<size>.events
constexpr KeyField<v2::HugeTlbStat> kHugetlbEventFields[] = {
    {"max", &v2::HugeTlbStat::set_failcnt},
};

constexpr KeyField<v2::IOEntry> kIOFields[] = {
    {"rbytes", &v2::IOEntry::set_rbytes},
    {"wbytes", &v2::IOEntry::set_wbytes},
    {"rios", &v2::IOEntry::set_rios},
    {"wios", &v2::IOEntry::set_wios},
};

// "avg10=0.12 avg60=0.00 avg300=0.00 total=708"; false if it is not like that.
bool ParsePressureLine(std::string_view line, v2::PSIData& data) {
  std::string_view field;
  while (NextPiece(line, ' ', field)) {
    std::string_view key;
    NextPiece(field, '=', key);
    if (key == "total") {
      std::optional<uint64_t> total = ParseNumber(field);
      if (!total) return false;
      data.set_total(*total);
      continue;
    }
    double value = 0;
    const char* end = field.data() + field.size();
    auto [stop, error] = std::from_chars(field.data(), end, value);
    if (stop != end || error != std::errc()) return false;
    if (key == "avg10") data.set_avg10(value);
    if (key == "avg60") data.set_avg60(value);
    if (key == "avg300") data.set_avg300(value);
  }
  return true;
}

class Reader final {
 public:
  Reader(int directory, const CgroupHost& host, v2::Metrics& metrics)
      : directory_(directory), host_(host), metrics_(metrics) {}

  absl::Status ReadAll();

 private:
  absl::Status ReadCpu();
  absl::Status ReadMemory();
  absl::Status ReadMemoryEvents();
  void ReadIO();
  void ReadRdma();
  void ReadHugetlb();

  // 0 for a file that is missing or cannot be read.
  uint64_t Number(const char* name) {
    uint64_t value = 0;
    files_.ReadNumber(directory_, name, kNoLimit, value).IgnoreError();
    return value;
  }

  // Nothing if the file is missing, cannot be understood, or if the kernel
  // was booted with psi=0 (EOPNOTSUPP).
  std::optional<v2::PSIStats> Pressure(const char* name);

  const int directory_;
  const CgroupHost& host_;
  v2::Metrics& metrics_;
  KernelFileReader files_;
};

absl::Status Reader::ReadAll() {
  v2::PidsStat& pids = *metrics_.mutable_pids();
  pids.set_current(Number("pids.current"));
  pids.set_limit(Number("pids.max"));
  metrics_.mutable_cpu();
  HYDRA_RETURN_IF_ERROR(IgnoreNotFound(ReadCpu()));
  metrics_.mutable_memory();
  HYDRA_RETURN_IF_ERROR(IgnoreNotFound(ReadMemory()));
  HYDRA_RETURN_IF_ERROR(IgnoreNotFound(ReadMemoryEvents()));
  ReadIO();
  ReadRdma();
  ReadHugetlb();
  return absl::OkStatus();
}

absl::Status Reader::ReadCpu() {
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         files_.Read(directory_, "cpu.stat"));
  v2::CPUStat& cpu = *metrics_.mutable_cpu();
  HYDRA_RETURN_IF_ERROR(ParseKeyValues(text, "cpu.stat", kCpuFields, cpu));
  if (auto psi = Pressure("cpu.pressure")) *cpu.mutable_psi() = *psi;
  return absl::OkStatus();
}

absl::Status Reader::ReadMemory() {
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         files_.Read(directory_, "memory.stat"));
  v2::MemoryStat& memory = *metrics_.mutable_memory();
  HYDRA_RETURN_IF_ERROR(
      ParseKeyValues(text, "memory.stat", kMemoryFields, memory));
  memory.set_usage(Number("memory.current"));
  memory.set_usage_limit(Number("memory.max"));
  memory.set_max_usage(Number("memory.peak"));
  memory.set_swap_usage(Number("memory.swap.current"));
  memory.set_swap_limit(Number("memory.swap.max"));
  memory.set_swap_max_usage(Number("memory.swap.peak"));
  if (auto psi = Pressure("memory.pressure")) *memory.mutable_psi() = *psi;
  return absl::OkStatus();
}

absl::Status Reader::ReadMemoryEvents() {
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         files_.Read(directory_, "memory.events"));
  return ParseKeyValues(text, "memory.events", kMemoryEventFields,
                        *metrics_.mutable_memory_events());
}

// io.stat: lines of "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6", and
// more keys with some controllers.
void Reader::ReadIO() {
  v2::IOStat& io = *metrics_.mutable_io();
  absl::StatusOr<std::string_view> text = files_.Read(directory_, "io.stat");
  std::string_view lines = text.value_or(std::string_view());
  std::string_view line;
  while (NextPiece(lines, '\n', line)) {
    std::string_view numbers, major_text;
    NextPiece(line, ' ', numbers);
    NextPiece(numbers, ':', major_text);
    std::optional<uint64_t> major = ParseNumber(major_text);
    std::optional<uint64_t> minor = ParseNumber(numbers);
    // A device without figures has a line of its numbers alone.
    if (!major || !minor || line.empty()) continue;
    v2::IOEntry& entry = *io.add_usage();
    entry.set_major(*major);
    entry.set_minor(*minor);
    std::string_view field;
    while (NextPiece(line, ' ', field)) {
      std::string_view key;
      NextPiece(field, '=', key);
      std::optional<uint64_t> value = ParseNumber(field);
      if (!value) continue;
      for (const KeyField<v2::IOEntry>& known : kIOFields) {
        if (known.key == key) (entry.*known.set)(*value);
      }
    }
  }
  if (auto psi = Pressure("io.pressure")) *io.mutable_psi() = *psi;
}

void Reader::ReadRdma() {
  v2::RdmaStat& rdma = *metrics_.mutable_rdma();
  absl::StatusOr<std::string_view> text =
      files_.Read(directory_, "rdma.current");
  if (text.ok()) ParseRdma(*text, *rdma.mutable_current());
  text = files_.Read(directory_, "rdma.max");
  if (text.ok()) ParseRdma(*text, *rdma.mutable_limit());
}

void Reader::ReadHugetlb() {
  for (const std::string& size : HugePageSizes(host_)) {
    const std::string stem = "hugetlb." + size;
    v2::HugeTlbStat& entry = *metrics_.add_hugetlb();
    entry.set_pagesize(size);
    entry.set_current(Number((stem + ".current").c_str()));
    entry.set_max(Number((stem + ".max").c_str()));
    const std::string events = stem + ".events";
    absl::StatusOr<std::string_view> text =
        files_.Read(directory_, events.c_str());
    if (!text.ok()) continue;
    ParseKeyValues(*text, events.c_str(), kHugetlbEventFields, entry)
        .IgnoreError();
  }
}

std::optional<v2::PSIStats> Reader::Pressure(const char* name) {
  absl::StatusOr<std::string_view> text = files_.Read(directory_, name);
  if (!text.ok()) return std::nullopt;
  v2::PSIStats psi;
  std::string_view lines = *text;
  std::string_view line;
  while (NextPiece(lines, '\n', line)) {
    std::string_view kind;
    NextPiece(line, ' ', kind);
    v2::PSIData* data = kind == "some"   ? psi.mutable_some()
                        : kind == "full" ? psi.mutable_full()
                                         : nullptr;
    if (data != nullptr && !ParsePressureLine(line, *data)) return std::nullopt;
  }
  return psi;
}

}  // namespace

absl::StatusOr<v2::Metrics> ReadMetricsV2(const Cgroup& cgroup,
                                          const CgroupHost& host) {
  absl::StatusOr<UniqueFd> directory =
      OpenCgroupDirectory(cgroup.Directory(Cgroup::kUnified));
  if (absl::IsNotFound(directory.status())) return CgroupGone();
  if (!directory.ok()) return std::move(directory).status();
  v2::Metrics metrics;
  HYDRA_RETURN_IF_ERROR(Reader(directory->get(), host, metrics).ReadAll());
  return metrics;
}

}  // namespace hydra
