// What `upgrade` says of one instance. Any thread.

#ifndef HYDRA_CMD_SHIM_UPGRADE_REPORT_H_
#define HYDRA_CMD_SHIM_UPGRADE_REPORT_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "hydra/v1/instance.pb.h"
#include "shim/state/instances.h"

namespace hydra {

struct UpgradeReport {
  FoundInstance instance;
  absl::Status status;
  v1::UpgradeResponse response;  // If the status is OK.
  std::chrono::nanoseconds duration{};
  bool dry_run = false;
};

// A line with its end:
//   k8s.io/abc  upgraded 0.1.0 -> 0.2.0 in 12 ms (pause 3.1 ms)
//   k8s.io/abc  failed, runs on as it was: trial of ... What to do: ...
std::string ReportLine(const UpgradeReport& report);

// One object and a newline: namespace, id, engine, result ("upgraded", "would
// upgrade" or "failed"), monitor_from, monitor_to, head_from, head_to,
// duration_ms, pause_ms; if it failed error, code (of gRPC, by its number),
// and advice instead of the versions.
std::string ReportJson(const UpgradeReport& report);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_UPGRADE_REPORT_H_
