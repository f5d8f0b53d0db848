// The command line of `upgrade`, and which instances it means. Any thread.

#ifndef HYDRA_CMD_SHIM_UPGRADE_OPTIONS_H_
#define HYDRA_CMD_SHIM_UPGRADE_OPTIONS_H_

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/state/instances.h"

namespace hydra {

struct UpgradeOptions {
  bool all = false;
  std::string container_namespace;  // Empty: every one.
  // ID, NAMESPACE/ID or ENGINE/NAMESPACE/ID.
  std::vector<std::string> names;
  std::string monitor;  // Paths; empty: what each was started from.
  std::string head;
  bool dry_run = false;
  bool json = false;
  bool help = false;
  // For one instance.
  std::chrono::milliseconds timeout{30'000};
  int parallel = 8;
};

// `arguments` are those after the verb. InvalidArgument, with a text for
// people, if they make no sense, or name neither all, nor a namespace, nor an
// instance.
absl::StatusOr<UpgradeOptions> ParseUpgradeOptions(
    const std::vector<std::string>& arguments);

std::string_view UpgradeUsage();

// Those that are meant, in the order of `found`, each once. NotFound: a name
// that no instance has. InvalidArgument, listing them: one that several have.
absl::StatusOr<std::vector<FoundInstance>> SelectInstances(
    const UpgradeOptions& options, const std::vector<FoundInstance>& found);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_UPGRADE_OPTIONS_H_
