#include "cmd/hydra/usage.h"

#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_split.h"
#include "io/containerd/cgroups/v1/metrics.pb.h"
#include "io/containerd/cgroups/v2/metrics.pb.h"
#include "shim/base/file.h"
#include "shim/base/process_stat.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

namespace v1 = io::containerd::cgroups::v1;
namespace v2 = io::containerd::cgroups::v2;

constexpr size_t kMaxFile = 1 << 20;

uint64_t MachineMemory() {
  struct sysinfo info;
  return sysinfo(&info) == 0 ? uint64_t{info.totalram} * info.mem_unit : 0;
}

uint64_t Without(uint64_t all, uint64_t part) {
  return part < all ? all - part : 0;
}

Usage FromV1(const v1::Metrics& metrics) {
  Usage usage;
  usage.cpu_ns = metrics.cpu().usage().total();
  usage.memory = Without(metrics.memory().usage().usage(),
                         metrics.memory().total_inactive_file());
  usage.memory_limit = metrics.memory().usage().limit();
  usage.pids = metrics.pids().current();
  usage.pids_limit = metrics.pids().limit();
  for (const auto& entry : metrics.blkio().io_service_bytes_recursive()) {
    if (entry.op() == "Read") usage.read_bytes += entry.value();
    if (entry.op() == "Write") usage.written_bytes += entry.value();
  }
  return usage;
}

Usage FromV2(const v2::Metrics& metrics) {
  Usage usage;
  usage.cpu_ns = metrics.cpu().usage_usec() * 1000;
  usage.memory =
      Without(metrics.memory().usage(), metrics.memory().inactive_file());
  usage.memory_limit = metrics.memory().usage_limit();
  usage.pids = metrics.pids().current();
  // "max" is the highest number.
  usage.pids_limit =
      metrics.pids().limit() == UINT64_MAX ? 0 : metrics.pids().limit();
  for (const auto& entry : metrics.io().usage()) {
    usage.read_bytes += entry.rbytes();
    usage.written_bytes += entry.wbytes();
  }
  return usage;
}

uint64_t ParseNumber(std::string_view text) {
  return strtoull(std::string(text).c_str(), nullptr, 10);
}

std::string CommandLine(const std::string& directory) {
  const absl::StatusOr<std::string> text =
      ReadFile(directory + "/cmdline", kMaxFile);
  std::string line = text.ok() ? *text : "";
  while (!line.empty() && line.back() == '\0') line.pop_back();
  std::replace_if(
      line.begin(), line.end(),
      [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  if (!line.empty()) return line;
  // A zombie has none, nor a kernel thread.
  absl::StatusOr<std::string> name = ReadFile(directory + "/comm", kMaxFile);
  if (!name.ok()) return "?";
  if (!name->empty()) name->pop_back();
  return "[" + *name + "]";
}

}  // namespace

absl::StatusOr<Usage> UsageOf(const google::protobuf::Any& metrics) {
  Usage usage;
  v1::Metrics old_metrics;
  v2::Metrics new_metrics;
  if (metrics.type_url().ends_with(old_metrics.GetTypeName()) &&
      old_metrics.ParseFromString(metrics.value())) {
    usage = FromV1(old_metrics);
  } else if (metrics.type_url().ends_with(new_metrics.GetTypeName()) &&
             new_metrics.ParseFromString(metrics.value())) {
    usage = FromV2(new_metrics);
  } else {
    return InvalidArgument("metrics of type " + metrics.type_url() +
                           ": not known");
  }
  usage.taken_at = std::chrono::steady_clock::now();
  const uint64_t machine = MachineMemory();
  if (usage.memory_limit == 0 || usage.memory_limit > machine) {
    usage.memory_limit = machine;
  }
  return usage;
}

void AddNetwork(int pid, Usage* usage) {
  const std::string directory = "/proc/" + std::to_string(pid);
  struct stat its;
  struct stat ours;
  if (stat((directory + "/ns/net").c_str(), &its) != 0 ||
      stat("/proc/self/ns/net", &ours) != 0 || its.st_ino == ours.st_ino) {
    return;
  }
  const absl::StatusOr<std::string> text =
      ReadFile(directory + "/net/dev", kMaxFile);
  if (!text.ok()) return;
  usage->has_network = true;
  for (const auto line : absl::StrSplit(*text, '\n')) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" :"), absl::SkipEmpty());
    // Two lines of heads; the name, 8 numbers received, 8 sent.
    if (words.size() < 17 || words[0] == "lo" || words[0] == "face") continue;
    usage->received_bytes += ParseNumber(words[1]);
    usage->sent_bytes += ParseNumber(words[9]);
  }
}

double CpuPercent(uint64_t ns_before, uint64_t ns_after,
                  std::chrono::nanoseconds passed) {
  if (passed.count() <= 0 || ns_after < ns_before) return 0;
  return 100.0 * static_cast<double>(ns_after - ns_before) /
         static_cast<double>(passed.count());
}

std::vector<ProcessUsage> ProcessesOf(const std::vector<int>& pids) {
  static const auto ticks = static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
  static const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::vector<ProcessUsage> processes;
  for (const int pid : pids) {
    const std::string directory = "/proc/" + std::to_string(pid);
    const std::vector<std::string> fields = ReadProcessStat(pid);
    struct stat info;
    // 3 is the state, 4 the parent, 14 and 15 the times, 24 the pages.
    if (fields.size() < 22 || stat(directory.c_str(), &info) != 0) continue;
    ProcessUsage process;
    process.pid = pid;
    process.parent = static_cast<int>(ParseNumber(fields[1]));
    process.uid = info.st_uid;
    process.state = fields[0].empty() ? '?' : fields[0][0];
    process.cpu_ns = (ParseNumber(fields[11]) + ParseNumber(fields[12])) *
                     (1'000'000'000 / ticks);
    process.memory = ParseNumber(fields[21]) * page;
    process.command = CommandLine(directory);
    processes.push_back(std::move(process));
  }
  return processes;
}

}  // namespace hydra::command
