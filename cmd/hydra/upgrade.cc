// upgrade.

#include "cmd/containerd-shim-hydra-v1/upgrade.h"

#include <chrono>

#include "cmd/hydra/find.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

absl::StatusOr<UpgradeOptions> ReadUpgradeOptions(
    const Invocation& invocation) {
  UpgradeOptions options;
  options.all = invocation.Has("all");
  options.container_namespace = invocation.Get("namespace");
  options.names = invocation.arguments();
  options.monitor = invocation.Get("monitor");
  options.head = invocation.Get("head");
  options.dry_run = invocation.Has("dry-run");
  if (invocation.Has("timeout")) {
    HYDRA_ASSIGN_OR_RETURN(options.timeout, TimeoutOf(invocation));
  }
  if (invocation.Has("parallel")) {
    const auto count = ParseDecimal(invocation.Get("parallel"));
    if (!count.has_value() || *count == 0 || *count > 1000) {
      return InvalidArgument("--parallel " + invocation.Get("parallel") +
                             ": not a number from 1 to 1000");
    }
    options.parallel = static_cast<int>(*count);
  }
  if (options.all && !options.names.empty()) {
    return InvalidArgument("--all and names: which of the two?");
  }
  if (!options.all && options.names.empty() &&
      options.container_namespace.empty()) {
    return InvalidArgument("which? Name containers, --namespace or --all");
  }
  return options;
}

absl::StatusOr<int> UpgradeContainers(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const UpgradeOptions options,
                         ReadUpgradeOptions(invocation));
  HYDRA_ASSIGN_OR_RETURN(
      const int failed,
      UpgradeInstances(options, [&](const UpgradeReport& report) {
        // A reader that has gone is no reason to leave some on another version.
        (void)(invocation.json() ? PrintJson(Json::parse(ReportJson(report)))
                                 : Print(ReportLine(report)));
      }));
  return failed == 0 ? 0 : kFailedStatus;
}

}  // namespace

Verb UpgradeVerb() {
  return {
      "upgrade",
      {},
      "Put the programs installed now into the places of those that run",
      "Of a container's monitor and head, engine's containers included. The "
      "container, its streams and connections stay. If it does not work "
      "out, the old programs run on.",
      {{"CONTAINER", "see `hydra help stop`", Argument::Count::kAny,
        "container"}},
      {{"--all", "", "every container of this machine"},
       {"--dry-run", "", "only try whether it would work"},
       {"--parallel", "NUMBER", "at most so many at a time; 8 if not given"},
       {"--monitor", "PATH",
        "the monitor's program, if not the one it was started from", false,
        "file"},
       {"--head", "PATH", "the same for the head", false, "file"}},
      "object for each container: engine, result, monitor_from, "
      "monitor_to, head_from, head_to, pause_ms, duration_ms; or code, "
      "error, advice",
      UpgradeContainers};
}

}  // namespace hydra::command
