// Start, of the init and of an exec, and what a head before us began of it.

#include <unistd.h>

#include <utility>
#include <vector>

#include "containerd/events/task.pb.h"
#include "shim/base/crash_point.h"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/runtime/bundle.h"
#include "shim/task/task_service.h"
#include "shim/task/topics.h"

namespace hydra {
namespace {

// Of the operations of one request; task_create.cc has the other.
enum Step : uint32_t { kRunStep = 1 };

std::string ProcessFile(const Instance& instance, uint64_t number) {
  return instance.config().paths.directory + "/process-" +
         std::to_string(number) + ".json";
}

}  // namespace

Async<absl::StatusOr<ProcessStdio>> TaskService::OpenStdio(
    OperationKey operation, uint64_t number,
    std::shared_ptr<Instance::Live> live) {
  live->stdio = instance_.MakeStdio(*instance_.FindNumber(number));
  if (instance_.monitor()->Knows(operation)) {
    // The runtime has them; what we could open now would be other ones.
    co_await live->stdio->Adopt();
    co_return ProcessStdio();
  }
  const auto stdio = live->stdio;
  absl::StatusOr<ProcessStdio> opened = co_await stdio->Open();
  const state::Process* process = instance_.FindNumber(number);
  if (process == nullptr) {
    co_await stdio->Close();
    co_return NotCreated();
  }
  if (opened.ok() && process->stdin_closed()) stdio->CloseStdin();
  co_return opened;
}

TaskService::Reply<task::StartResponse> TaskService::Start(
    Call call, task::StartRequest request) {
  co_await Settled();
  {
    const auto process = FindProcess(request.id(), request.exec_id());
    if (!process.ok()) co_return process.status();
  }
  absl::Status status;
  const state::Container& container = instance_.record().container();
  if (request.exec_id().empty() && container.has_native() &&
      container.init().phase() == state::PHASE_STOPPED) {
    status = co_await StartAgain(call, false);
  } else if (request.exec_id().empty()) {
    status = co_await StartInit(call);
  } else {
    status = co_await StartExec(call, request.exec_id());
  }
  if (!status.ok()) co_return status;
  task::StartResponse response;
  // Still there: nothing has run since it was started.
  response.set_pid(instance_.FindProcess(request.exec_id())->pid());
  co_return response;
}

Async<absl::Status> TaskService::StartInit(Call call) {
  const OperationKey key = call.Key(kRunStep);
  const auto live = instance_.live(instance_.record().container().init());
  const auto guard = co_await live->mutex.Lock();
  state::Process* init = instance_.FindProcess("");
  if (init == nullptr) {
    co_return NotCreated();
  }
  const uint64_t number = init->number();
  if (init->token() != call.token) {
    HYDRA_CO_RETURN_IF_ERROR(CheckInit(init->phase(), TaskOperation::kStart));
    init->set_token(call.token);
    (void)instance_.Save();  // Logged there; a head's death would tell.
  }
  const auto runtime = instance_.runtime();
  absl::Status status;
  if (init->phase() == state::PHASE_CREATED_CHECKPOINT) {
    absl::StatusOr<ProcessStdio> stdio = co_await OpenStdio(key, number, live);
    status = stdio.status();
    if (status.ok()) {
      const state::Container& container = instance_.record().container();
      status = co_await runtime->Restore(key, container.checkpoint(),
                                         container.parent_checkpoint(),
                                         *std::move(stdio));
      live->stdio->CloseContainerEnds();
    }
    if (status.ok()) {
      live->stdio->StartOutput();
      const absl::StatusOr<pid_t> pid = ReadPidFile(runtime->InitPidFile());
      status = pid.status();
      if (pid.ok()) {
        init->set_pid(static_cast<uint32_t>(*pid));
        instance_.monitor()->Claim(number, *pid);
        instance_.EnterCgroup(*pid);
      }
    }
    if (!status.ok() && live->stdio != nullptr) co_await live->stdio->Close();
  } else {
    status = co_await runtime->Start(key);
  }
  init->set_token(0);
  instance_.Touch();
  if (status.ok()) InitStarted();
  co_return status;
}

void TaskService::InitStarted() {
  state::Container* container = instance_.record().mutable_container();
  state::Process* init = container->mutable_init();
  init->set_phase(state::PHASE_RUNNING);
  container->set_started_at(UnixNow());
  containerd::events::TaskStart event;
  event.set_container_id(instance_.config().id);
  event.set_pid(init->pid());
  // To an engine it is the task that it has seen start.
  if (container->has_replacement() && !container->has_native()) {
    instance_.EmitOwn(kTaskStartTopic, event);
  } else {
    instance_.Emit(kTaskStartTopic, event);
  }
}

Async<absl::Status> TaskService::StartExec(Call call, std::string exec_id) {
  const auto live = instance_.live(*instance_.FindProcess(exec_id));
  const auto guard = co_await live->mutex.Lock();
  state::Process* exec = instance_.FindProcess(exec_id);
  if (exec == nullptr) {
    co_return NotFound("process does not exist " + exec_id + ": not found");
  }
  if (exec->token() != call.token) {
    HYDRA_CO_RETURN_IF_ERROR(CheckExec(exec->phase(), TaskOperation::kStart));
    if (instance_.InitGone()) {
      co_return FailedPrecondition("container " + instance_.config().id +
                                   " init process is not running: failed "
                                   "precondition");
    }
    exec->set_token(call.token);
    exec->set_start_failed(false);
    (void)instance_.Save();  // Logged there; a head's death would tell.
  }
  const uint64_t number = exec->number();
  const absl::StatusOr<int> pid = co_await RunExec(call, exec_id, live);
  exec = instance_.FindNumber(number);
  if (exec == nullptr) {  // A created container may be deleted meanwhile.
    co_return NotFound("process does not exist " + exec_id + ": not found");
  }
  exec->set_token(0);
  instance_.Touch();
  if (pid.ok()) {
    exec->set_pid(static_cast<uint32_t>(*pid));
    exec->set_phase(state::PHASE_RUNNING);
    containerd::events::TaskExecStarted event;
    event.set_container_id(instance_.config().id);
    event.set_exec_id(exec_id);
    event.set_pid(exec->pid());
    instance_.Emit(kTaskExecStartedTopic, event, state::RANK_EXEC);
  } else {
    if (live->stdio != nullptr) co_await live->stdio->Close();
    live->stdio.reset();
    exec->set_start_failed(true);
    live->exited.Set(false);
  }
  co_return pid.status();
}

Async<absl::StatusOr<int>> TaskService::RunExec(
    Call call, std::string exec_id, std::shared_ptr<Instance::Live> live) {
  const OperationKey key = call.Key(kRunStep);
  const state::Process exec = *instance_.FindProcess(exec_id);
  const auto runtime = instance_.runtime();
  const std::string process_file = ProcessFile(instance_, exec.number());
  if (!instance_.monitor()->Knows(key)) {
    HYDRA_CO_RETURN_IF_ERROR(ReplaceFile(process_file, exec.spec(), 0600));
  }
  absl::StatusOr<ProcessStdio> stdio =
      co_await OpenStdio(key, exec.number(), live);
  if (!stdio.ok()) {
    co_return Annotate(stdio.status(), "failed to create exec process I/O");
  }
  absl::Status status =
      co_await runtime->Exec(key, exec_id, process_file, *std::move(stdio));
  live->stdio->CloseContainerEnds();
  unlink(process_file.c_str());
  HYDRA_CRASH_POINT("task.process_file_removed");
  if (!status.ok()) co_return status;
  live->stdio->StartOutput();
  const absl::StatusOr<pid_t> pid = ReadPidFile(runtime->ExecPidFile(exec_id));
  if (!pid.ok()) {
    co_return Annotate(pid.status(), "failed to retrieve OCI runtime exec pid");
  }
  instance_.monitor()->Claim(exec.number(), *pid);
  co_return *pid;
}

Async<void> TaskService::FinishOrphans(
    std::function<bool(uint64_t)> is_pending) {
  if (!instance_.record().has_container()) co_return;
  const state::Process& init = instance_.record().container().init();
  std::vector<std::pair<uint64_t, std::string>> starts;
  // One that is being replaced has a head of its own (FinishReplacement).
  const bool is_replaced = instance_.record().container().has_replacement();
  if (init.token() != 0 && !is_replaced && !is_pending(init.token())) {
    if (init.phase() == state::PHASE_CREATING) {
      LogWarning("create of the container was given up by its caller, undone");
      const uint64_t token = init.token();
      const OperationKey create{token, kRunStep};
      MonitorClient* const monitor = instance_.monitor();
      if (monitor->Knows(create)) {
        const auto pid = co_await monitor->Spawn(create, SpawnRequest());
        if (pid.ok()) co_await monitor->WaitExit(create);
      }
      // The streams that its head has opened are to be closed, a logger ended.
      const auto live = instance_.live(init);
      live->stdio = instance_.MakeStdio(init);
      co_await live->stdio->Adopt();
      Call call;
      call.token = token;
      co_await UndoCreate(call, live);
      (void)instance_.Save();  // Logged there.
      monitor->ForgetToken(token);
      co_return;
    }
    starts.emplace_back(init.token(), "");
  }
  for (const auto& exec : instance_.record().container().execs()) {
    if (exec.token() != 0 && !is_pending(exec.token())) {
      starts.emplace_back(exec.token(), exec.exec_id());
    }
  }
  for (const auto& [token, exec_id] : starts) {
    Call call;
    call.token = token;
    absl::Status status;
    if (exec_id.empty()) {
      status = co_await StartInit(call);
    } else {
      status = co_await StartExec(call, exec_id);
    }
    if (!status.ok()) LogWarning("start, ignoring: ", Message(status));
    (void)instance_.Save();  // Logged there.
    instance_.Settle();
    instance_.monitor()->ForgetToken(token);
  }
}

}  // namespace hydra
