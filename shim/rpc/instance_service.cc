#include "shim/rpc/instance_service.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "shim/base/status.h"
#include "shim/base/version.h"
#include "shim/state/record.h"

namespace hydra {
namespace {

// Steps of a request; link/protocol.h.
constexpr uint32_t kUpgradeStep = 1;
constexpr uint32_t kInspectStep = 2;
// The monitor answers at once, or does not know the question.
constexpr std::chrono::seconds kMonitorLimit{5};

absl::Status ErrorOf(const UpgradeOutcome& outcome) {
  // It had begun to take over.
  if (outcome.paused != 0) return Internal(outcome.reason);
  switch (outcome.error) {
    case EINVAL:
      return InvalidArgument(outcome.reason);
    case ENOENT:
      return NotFound(outcome.reason);
    case EALREADY:
      return MakeError(absl::StatusCode::kAborted, outcome.reason);
    case ETIMEDOUT:
      return MakeError(absl::StatusCode::kDeadlineExceeded, outcome.reason);
    default:
      return FailedPrecondition(outcome.reason);
  }
}

absl::Status CheckPath(const std::string& path) {
  if (path.empty() || path.front() == '/') return absl::OkStatus();
  return InvalidArgument("program \"" + path + "\": not an absolute path");
}

}  // namespace

InstanceService::InstanceService(Instance* instance, TaskService* tasks,
                                 std::vector<std::string> trial)
    : instance_(*instance), tasks_(*tasks), trial_(std::move(trial)) {}

Async<absl::StatusOr<MonitorStatus>> InstanceService::AskMonitor(
    uint64_t token) {
  const Future<MonitorStatus> status =
      instance_.monitor()->Inspect({token, kInspectStep});
  const bool in_time =
      co_await SetWithin(instance_.loop(), status, kMonitorLimit);
  if (!in_time) {
    co_return MakeError(
        absl::StatusCode::kUnavailable,
        "the monitor is of a version that does not know the question");
  }
  co_return status.value();
}

InstanceService::Reply<v1::InspectResponse> InstanceService::Inspect(
    Call call, v1::InspectRequest) {
  absl::StatusOr<MonitorStatus> status = co_await AskMonitor(call.token);
  if (!status.ok()) co_return status.status();
  const link::Status& numbers = status->numbers;
  const link::Welcome& welcome = instance_.monitor()->welcome();
  v1::InspectResponse response;
  response.set_id(instance_.config().id);
  response.set_namespace_(instance_.config().container_namespace);
  v1::Monitor& monitor = *response.mutable_monitor();
  monitor.set_pid(welcome.monitor_pid);
  monitor.set_version(status->version);
  monitor.set_program(status->program);
  monitor.set_state_version(numbers.state_version);
  monitor.set_upgrades(numbers.upgrades);
  monitor.set_started_at(numbers.started_at);
  v1::Head& head = *response.mutable_head();
  head.set_pid(getpid());
  head.set_version(Version());
  head.set_generation(numbers.generation);
  head.set_deaths(numbers.deaths);
  head.set_state_version(kRecordVersion);
  response.set_link_version(welcome.version);
  v1::Counts& counts = *response.mutable_counts();
  counts.set_connections(numbers.connections);
  counts.set_requests(numbers.requests);
  counts.set_processes(numbers.processes);
  counts.set_streams(numbers.streams);
  counts.set_operations(numbers.operations);
  counts.set_stored(numbers.stored);
  response.set_engine(instance_.config().engine_address);
  if (instance_.container() != nullptr) {
    // How its streams stand, as far as the monitor answers.
    const Future<bool> told = instance_.monitor()->AskStreams();
    (void)co_await SetWithin(instance_.loop(), told, kMonitorLimit);
  }
  if (instance_.container() != nullptr) {
    DescribeContainer(*status, response.mutable_container());
  }
  co_return response;
}

InstanceService::Reply<v1::UpgradeResponse> InstanceService::Upgrade(
    Call call, v1::UpgradeRequest request) {
  HYDRA_CO_RETURN_IF_ERROR(CheckPath(request.monitor()));
  HYDRA_CO_RETURN_IF_ERROR(CheckPath(request.head()));
  const OperationKey key{call.token, kUpgradeStep};
  if (!instance_.monitor()->Knows(key)) {
    // One that does not know the question would not answer the order either.
    absl::StatusOr<MonitorStatus> status = co_await AskMonitor(call.token);
    if (!status.ok()) co_return status.status();
  }
  UpgradeOrder order;
  order.monitor = request.monitor();
  order.head = request.head();
  order.head_version = Version();
  order.head_arguments = trial_;
  order.trial_only = request.dry_run();
  const UpgradeOutcome outcome =
      co_await instance_.monitor()->Upgrade(key, std::move(order));
  if (outcome.error != 0) co_return ErrorOf(outcome);
  v1::UpgradeResponse response;
  response.set_monitor_from(outcome.monitor_from);
  response.set_monitor_to(outcome.monitor_to);
  response.set_head_from(outcome.head_from);
  response.set_head_to(outcome.head_to);
  response.set_pause(outcome.paused);
  co_return response;
}

}  // namespace hydra
