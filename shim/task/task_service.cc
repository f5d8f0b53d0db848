#include "shim/task/task_service.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "containerd/events/task.pb.h"
#include "nlohmann/json.hpp"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/cgroup/metrics.h"
#include "shim/cgroup/warm_up.h"
#include "shim/state/paths.h"
#include "shim/task/pid_namespace.h"
#include "shim/task/topics.h"

namespace hydra {
namespace {

enum Step : uint32_t { kRunStep = 1 };

// How long Shutdown waits for the engine to take the last events.
constexpr std::chrono::milliseconds kLastEventsLimit{1000};
constexpr int kMaxSpecDepth = 64;
constexpr char kProcessDetails[] = "containerd.runc.v1.ProcessDetails";

// The OCI process of an exec with `terminal` as the request has it.
absl::StatusOr<std::string> ProcessSpec(const std::string& spec,
                                        bool terminal) {
  // Writing it out again recurses; a process has four levels.
  bool too_deep = false;
  const nlohmann::json::parser_callback_t check_depth =
      [&too_deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
        too_deep |= depth > kMaxSpecDepth;
        return !too_deep;
      };
  auto json = nlohmann::json::parse(spec, check_depth, false);
  if (too_deep || !json.is_object()) {
    return InvalidArgument("exec spec: not a JSON object of an OCI process");
  }
  json["terminal"] = terminal;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void AddPids(const std::string& directory, std::vector<int>* pids) {
  // A cgroup without a process reads as an empty file.
  const auto text = ReadFile(directory + "/cgroup.procs", 16 << 20);
  if (!text.ok()) return;
  const char* next = text->c_str();
  while (*next != '\0') {
    char* end;
    const long pid = strtol(next, &end, 10);
    if (end == next) break;
    pids->push_back(static_cast<int>(pid));
    next = *end == '\n' ? end + 1 : end;
  }
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(directory, error)) {
    if (entry.is_directory(error)) AddPids(entry.path().string(), pids);
  }
}

}  // namespace

absl::Status NotCreated() {
  return NotFound("container not created: not found");
}

std::vector<int> ProcessesOf(const Cgroup& cgroup) {
  std::vector<int> pids;
  // "devices" is the one that runc itself looks into on v1.
  const std::string* directory = &cgroup.Directory("devices");
  if (directory->empty()) {
    directory = &cgroup.paths().directories.begin()->second;
  }
  AddPids(*directory, &pids);
  return pids;
}

TaskService::TaskService(Instance* instance, std::function<void()> shut_down)
    : instance_(*instance),
      loop_(instance->loop()),
      shut_down_(std::move(shut_down)),
      life_(instance->loop()) {}

absl::StatusOr<state::Container*> TaskService::FindContainer(
    const std::string& id) {
  state::Container* container = instance_.container();
  if (container == nullptr || id != instance_.config().id) return NotCreated();
  return container;
}

absl::StatusOr<state::Process*> TaskService::FindProcess(
    const std::string& id, const std::string& exec_id) {
  HYDRA_RETURN_IF_ERROR(FindContainer(id).status());
  state::Process* process = instance_.FindProcess(exec_id);
  if (process == nullptr) {
    return NotFound("process does not exist " + exec_id + ": not found");
  }
  return process;
}

TaskService::Reply<task::StateResponse> TaskService::State(
    Call call, task::StateRequest request) {
  (void)call;
  HYDRA_CO_ASSIGN_OR_RETURN(const state::Process* process,
                            FindProcess(request.id(), request.exec_id()));
  const state::Container& container = instance_.record().container();
  task::StateResponse response;
  // For an exec, `id` is the exec's, as containerd's shim has it.
  response.set_id(request.exec_id().empty() ? request.id() : request.exec_id());
  response.set_exec_id(request.exec_id());
  response.set_bundle(container.bundle());
  response.set_pid(process->pid());
  response.set_status(StatusOf(process->phase()));
  const bool replaced =
      request.exec_id().empty() && container.has_replacement();
  if (replaced) response.set_status(containerd::v1::types::RUNNING);
  const bool stopped = process->phase() == state::PHASE_STOPPED && !replaced;
  if (!stopped && container.init().phase() == state::PHASE_PAUSED) {
    response.set_status(containerd::v1::types::PAUSED);
  } else if (!stopped && pausing_) {
    response.set_status(containerd::v1::types::PAUSING);
  }
  response.set_stdin(process->stdin());
  response.set_stdout(process->stdout());
  response.set_stderr(process->stderr());
  response.set_terminal(process->terminal());
  // An init's exit that waits for the execs' is not yet told.
  if (stopped) response.set_exit_status(process->exit_status());
  *response.mutable_exited_at() =
      ToTimestamp(stopped ? process->exited_at() : 0);
  co_return response;
}

TaskService::Reply<task::PidsResponse> TaskService::Pids(
    Call call, task::PidsRequest request) {
  HYDRA_CO_ASSIGN_OR_RETURN(const state::Container* container,
                            FindContainer(request.id()));
  std::vector<int> pids;
  if (const auto cgroup = instance_.cgroup(); cgroup.has_value()) {
    pids = ProcessesOf(*cgroup);
  } else if (container->init().phase() == state::PHASE_STOPPED) {
    // There are none.
  } else if (geteuid() != 0 && container->private_pid_namespace()) {
    // The runtime needs a cgroup, too.
    pids = ProcessesInNamespaceOf(static_cast<pid_t>(container->init().pid()));
  } else {
    const auto runtime = instance_.runtime();
    absl::StatusOr<std::vector<int>> listed =
        co_await runtime->Processes(call.Key(kRunStep));
    if (!listed.ok()) co_return listed.status();
    pids = *std::move(listed);
    HYDRA_CO_RETURN_IF_ERROR(FindContainer(request.id()).status());
  }
  const int init = static_cast<int>(container->init().pid());
  if (container->init().phase() == state::PHASE_STOPPED &&
      std::find(pids.begin(), pids.end(), init) == pids.end()) {
    pids.push_back(init);
  }
  task::PidsResponse response;
  for (const int pid : pids) {
    auto* process = response.add_processes();
    process->set_pid(static_cast<uint32_t>(pid));
    for (const auto& exec : container->execs()) {
      if (exec.pid() != static_cast<uint32_t>(pid)) continue;
      containerd::runc::v1::ProcessDetails details;
      details.set_exec_id(exec.exec_id());
      process->mutable_info()->set_type_url(kProcessDetails);
      details.SerializeToString(process->mutable_info()->mutable_value());
    }
  }
  co_return response;
}

TaskService::Reply<TaskService::Empty> TaskService::Kill(
    Call call, task::KillRequest request) {
  co_await Settled();
  HYDRA_CO_ASSIGN_OR_RETURN(const state::Process* process,
                            FindProcess(request.id(), request.exec_id()));
  const OperationKey key = call.Key(kRunStep);
  const auto signal = static_cast<int>(request.signal());
  const absl::Status finished = NotFound("process already finished: not found");
  // If a head before us has sent the signal, that may be why it has exited.
  const bool exited =
      process->exited_at() != 0 && !instance_.monitor()->Knows(key);
  if (request.exec_id().empty()) {
    // With `all` there may be processes left in a container that has no pid
    // namespace of its own.
    if (exited && !request.all()) co_return finished;
    const auto runtime = instance_.runtime();
    absl::Status status = co_await runtime->Kill(key, signal, request.all());
    if (!status.ok()) co_return status;
    co_return Empty();
  }
  if (exited) co_return finished;
  if (process->pid() == 0) {
    co_return FailedPrecondition("process not created: failed precondition");
  }
  const int error = co_await instance_.monitor()->SignalProcess(
      key, process->number(), signal);
  // The monitor forgets a process that the head knows to have ended.
  if (error == ESRCH || error == ENOENT) {
    co_return NotFound("exec kill error: process already finished: not found");
  }
  if (error != 0) {
    co_return Unknown(std::string("exec kill error: ") + strerror(error));
  }
  co_return Empty();
}

void TaskService::ExpectRuntime() {
  std::thread(WarmUpCgroupMigration).detach();  // Nobody waits for it.
}

TaskService::Reply<TaskService::Empty> TaskService::Exec(
    Call call, task::ExecProcessRequest request) {
  (void)call;  // All that it does is in the record.
  HYDRA_CO_RETURN_IF_ERROR(FindContainer(request.id()).status());
  HYDRA_CO_RETURN_IF_ERROR(CheckIdentifier("exec id", request.exec_id()));
  if (instance_.FindProcess(request.exec_id()) != nullptr) {
    co_return AlreadyExists("id " + request.exec_id() + ": already exists");
  }
  HYDRA_CO_RETURN_IF_ERROR(
      CheckInit(instance_.FindProcess("")->phase(), TaskOperation::kExec));
  ExpectRuntime();
  HYDRA_CO_ASSIGN_OR_RETURN(
      std::string spec,
      ProcessSpec(request.spec().value(), request.terminal()));
  state::Process exec;
  exec.set_exec_id(request.exec_id());
  exec.set_phase(state::PHASE_CREATED);
  exec.set_terminal(request.terminal());
  exec.set_stdin(request.stdin());
  exec.set_stdout(request.stdout());
  exec.set_stderr(request.stderr());
  exec.set_spec(std::move(spec));
  instance_.AddExec(std::move(exec));
  containerd::events::TaskExecAdded event;
  event.set_container_id(request.id());
  event.set_exec_id(request.exec_id());
  instance_.Emit(kTaskExecAddedTopic, event, state::RANK_EXEC);
  co_return Empty();
}

TaskService::Reply<TaskService::Empty> TaskService::ResizePty(
    Call call, task::ResizePtyRequest request) {
  (void)call;
  HYDRA_CO_ASSIGN_OR_RETURN(const state::Process* process,
                            FindProcess(request.id(), request.exec_id()));
  HYDRA_CO_RETURN_IF_ERROR(
      request.exec_id().empty()
          ? CheckInit(process->phase(), TaskOperation::kResize)
          : CheckExec(process->phase(), TaskOperation::kResize));
  const auto live = instance_.live(*process);
  if (live->stdio != nullptr) {
    live->stdio->Resize(static_cast<uint16_t>(request.height()),
                        static_cast<uint16_t>(request.width()));
  }
  co_return Empty();
}

TaskService::Reply<TaskService::Empty> TaskService::CloseIO(
    Call call, task::CloseIORequest request) {
  (void)call;
  HYDRA_CO_ASSIGN_OR_RETURN(state::Process * process,
                            FindProcess(request.id(), request.exec_id()));
  // Before the streams are open it is kept for when they are.
  if (!process->stdin_closed()) {
    process->set_stdin_closed(true);
    instance_.Touch();
  }
  const auto live = instance_.live(*process);
  if (live->stdio != nullptr) live->stdio->CloseStdin();
  co_return Empty();
}

TaskService::Reply<task::WaitResponse> TaskService::Wait(
    Call call, task::WaitRequest request) {
  // A client that has a container made without an engine waits for it before:
  // one that removes itself may be gone when its making is answered.
  if (request.exec_id().empty() && request.id() == instance_.config().id &&
      instance_.config().engine_address.empty()) {
    const Future<bool> known;
    const auto on_made =
        instance_.made().OnSet([known](const bool&) { known.Set(true); });
    const auto on_cancel =
        call.cancelled.OnSet([known](const bool&) { known.Set(false); });
    (void)co_await known;
  }
  HYDRA_CO_ASSIGN_OR_RETURN(const state::Process* process,
                            FindProcess(request.id(), request.exec_id()));
  const auto live = instance_.live(*process);
  const uint64_t number = process->number();
  const Future<bool> ended;
  const auto on_exit =
      live->exited.OnSet([ended](const bool&) { ended.Set(true); });
  const auto on_cancel =
      call.cancelled.OnSet([ended](const bool&) { ended.Set(false); });
  const bool exited = co_await ended;
  if (!exited) {
    co_return MakeError(absl::StatusCode::kCancelled, "context canceled");
  }
  process = instance_.FindNumber(number);
  // Another may have come into its place, and have ended there.
  if (process == nullptr && request.exec_id().empty()) {
    process = instance_.FindProcess("");
  }
  if (process == nullptr) co_return NotCreated();
  task::WaitResponse response;
  response.set_exit_status(process->exit_status());
  *response.mutable_exited_at() = ToTimestamp(process->exited_at());
  co_return response;
}

TaskService::Reply<task::StatsResponse> TaskService::Stats(
    Call call, task::StatsRequest request) {
  (void)call;
  co_await Settled();
  HYDRA_CO_RETURN_IF_ERROR(FindContainer(request.id()).status());
  const auto cgroup = instance_.cgroup();
  if (!cgroup.has_value()) {
    co_return NotFound("cgroup does not exist: not found");
  }
  absl::StatusOr<google::protobuf::Any> metrics = ReadMetrics(*cgroup);
  if (!metrics.ok()) co_return metrics.status();
  task::StatsResponse response;
  *response.mutable_stats() = *std::move(metrics);
  co_return response;
}

TaskService::Reply<task::ConnectResponse> TaskService::Connect(
    Call call, task::ConnectRequest request) {
  (void)call;
  task::ConnectResponse response;
  response.set_shim_pid(
      static_cast<uint32_t>(instance_.monitor()->welcome().monitor_pid));
  const auto container = FindContainer(request.id());
  if (container.ok()) response.set_task_pid((*container)->init().pid());
  co_return response;
}

TaskService::Reply<TaskService::Empty> TaskService::Shutdown(
    Call call, task::ShutdownRequest request) {
  (void)call;
  (void)request;
  // A Create in progress counts.
  if (instance_.record().has_container()) co_return Empty();
  const Future<bool> closed = instance_.monitor()->CloseListener();
  co_await closed;
  // Something may have come on a connection that was open.
  if (instance_.record().has_container()) co_return Empty();
  const bool drained = co_await instance_.publisher().Drain(kLastEventsLimit);
  if (!drained) {
    LogError("the engine did not take the last events, they are lost: ",
             instance_.record().outbox_size());
  }
  for (const absl::Status& status :
       {RemoveInstance(instance_.config().paths),
        RemoveDataDirectory(instance_.data_directory())}) {
    if (!status.ok()) LogWarning("remove state, ignoring: ", Message(status));
  }
  shut_down_();
  co_return Empty();
}

}  // namespace hydra
