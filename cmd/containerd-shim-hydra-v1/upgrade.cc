#include "cmd/containerd-shim-hydra-v1/upgrade.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "cmd/containerd-shim-hydra-v1/upgrade_options.h"
#include "cmd/containerd-shim-hydra-v1/upgrade_report.h"
#include "shim/base/status.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/state/instances.h"
#include "shim/state/paths.h"
#include "shim/ttrpc/client.h"

namespace hydra {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

int Complain(const absl::Status& status, int exit_status) {
  fprintf(stderr, "containerd-shim-hydra-v1: upgrade: %s\n",
          Message(status).c_str());
  return exit_status;
}

// All of them, some at a time.
class Campaign final {
 public:
  Campaign(EventLoop* loop, const UpgradeOptions& options,
           std::vector<FoundInstance> instances,
           const std::function<void(const UpgradeReport&)>& tell)
      : loop_(loop),
        options_(options),
        instances_(std::move(instances)),
        tell_(tell) {}

  // The count of those that failed.
  int Run() {
    working_ = std::min(options_.parallel, static_cast<int>(instances_.size()));
    if (working_ == 0) return 0;
    for (int i = working_; i > 0; --i) Detach(Work());
    // Those that fail at once may be all of them.
    if (working_ > 0) loop_->Run();
    return failed_;
  }

 private:
  // Takes one after the other, until there is none.
  Async<void> Work() {
    while (next_ < instances_.size()) {
      FoundInstance instance = instances_[next_++];
      UpgradeReport report = co_await UpgradeOne(std::move(instance));
      if (!report.status.ok()) ++failed_;
      tell_(report);
    }
    if (--working_ == 0) loop_->Quit();
  }

  Async<UpgradeReport> UpgradeOne(FoundInstance instance) {
    UpgradeReport report;
    report.instance = std::move(instance);
    report.dry_run = options_.dry_run;
    v1::UpgradeRequest request;
    request.set_monitor(options_.monitor);
    request.set_head(options_.head);
    request.set_dry_run(options_.dry_run);
    const auto begin = Clock::now();
    const auto client = std::make_shared<ttrpc::Client>(
        loop_, report.instance.socket, report.instance.container_namespace);
    const absl::StatusOr<std::string> payload =
        co_await client->Call("hydra.v1.Instance", "Upgrade",
                              request.SerializeAsString(), options_.timeout);
    // We run inside of it here: it may go when it has returned.
    loop_->Post([client] {});
    report.duration = Clock::now() - begin;
    report.status = payload.status();
    if (payload.ok() && !report.response.ParseFromString(*payload)) {
      report.status = Internal("its answer does not parse");
    }
    co_return report;
  }

  EventLoop* const loop_;
  const UpgradeOptions& options_;
  const std::vector<FoundInstance> instances_;
  const std::function<void(const UpgradeReport&)>& tell_;
  size_t next_ = 0;
  int working_ = 0;
  int failed_ = 0;
};

}  // namespace

absl::StatusOr<int> UpgradeInstances(
    const UpgradeOptions& options,
    const std::function<void(const UpgradeReport&)>& tell) {
  HYDRA_ASSIGN_OR_RETURN(const std::string run_directory, RunDirectory());
  HYDRA_ASSIGN_OR_RETURN(const std::vector<FoundInstance> found,
                         FindInstances(run_directory));
  HYDRA_ASSIGN_OR_RETURN(std::vector<FoundInstance> selected,
                         SelectInstances(options, found));
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<EventLoop> loop,
                         EventLoop::Create());
  return Campaign(loop.get(), options, std::move(selected), tell).Run();
}

int Upgrade(const Flags& flags) {
  signal(SIGPIPE, SIG_IGN);
  absl::StatusOr<UpgradeOptions> options = ParseUpgradeOptions(flags.arguments);
  if (!options.ok()) {
    Complain(options.status(), kUsage);
    (void)WriteOutput(STDERR_FILENO,
                      UpgradeUsage());  // There is no more to do.
    return kUsage;
  }
  if (options->help) {
    const absl::Status written = WriteOutput(STDOUT_FILENO, UpgradeUsage());
    return written.ok() ? 0 : Complain(written, kFailed);
  }
  const absl::StatusOr<int> failed =
      UpgradeInstances(*options, [&](const UpgradeReport& report) {
        // A reader that has gone is no reason to leave some on another version.
        (void)WriteOutput(STDOUT_FILENO, options->json ? ReportJson(report)
                                                       : ReportLine(report));
      });
  if (!failed.ok()) {
    return Complain(failed.status(), absl::IsInvalidArgument(failed.status())
                                         ? kUsage
                                         : kFailed);
  }
  return *failed == 0 ? 0 : kFailed;
}

}  // namespace hydra
