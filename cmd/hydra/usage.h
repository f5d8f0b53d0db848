// What a container uses, from the metrics that a shim gives an engine and from
// proc(5).
//
// Any thread.

#ifndef HYDRA_CMD_HYDRA_USAGE_H_
#define HYDRA_CMD_HYDRA_USAGE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/any.pb.h"

namespace hydra::command {

struct Usage {
  std::chrono::steady_clock::time_point taken_at;
  uint64_t cpu_ns = 0;
  uint64_t memory = 0;        // Without page cache that nobody misses.
  uint64_t memory_limit = 0;  // Of the container, or of the machine.
  uint64_t pids = 0;
  uint64_t pids_limit = 0;  // 0: none.
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  bool has_network = false;  // It is one of its own.
  uint64_t received_bytes = 0;
  uint64_t sent_bytes = 0;
};

// InvalidArgument: metrics of a kind that is not known.
absl::StatusOr<Usage> UsageOf(const google::protobuf::Any& metrics);
// What the interfaces of the process's network namespace have carried.
void AddNetwork(int pid, Usage* usage);

// Percent of one processor, between two times.
double CpuPercent(uint64_t ns_before, uint64_t ns_after,
                  std::chrono::nanoseconds passed);

struct ProcessUsage {
  int pid = 0;
  int parent = 0;
  uint32_t uid = 0;
  char state = '?';
  uint64_t cpu_ns = 0;
  uint64_t memory = 0;  // Resident.
  std::string command;
};

// Of those of `pids` that are there.
std::vector<ProcessUsage> ProcessesOf(const std::vector<int>& pids);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_USAGE_H_
