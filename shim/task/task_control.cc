// Pause, Resume, Checkpoint and Update: the runtime's work on an init that is
// there.

#include <filesystem>
#include <utility>

#include "containerd/events/task.pb.h"
#include "shim/base/status.h"
#include "shim/runtime/options.h"
#include "shim/task/task_service.h"
#include "shim/task/topics.h"

namespace hydra {
namespace {

enum Step : uint32_t { kRunStep = 1 };

constexpr char kCheckpointOptions[] = "containerd.runc.v1.CheckpointOptions";

}  // namespace

Async<absl::StatusOr<TaskService::HeldInit>> TaskService::HoldInit(
    std::string id, TaskOperation operation) {
  co_await Settled();
  HYDRA_CO_RETURN_IF_ERROR(FindContainer(id).status());
  auto live = instance_.live(instance_.record().container().init());
  auto guard = co_await live->mutex.Lock();
  state::Process* init = instance_.FindProcess("");
  if (init == nullptr) co_return NotCreated();
  HYDRA_CO_RETURN_IF_ERROR(CheckInit(init->phase(), operation));
  co_return HeldInit{std::move(live), std::move(guard), init};
}

TaskService::Reply<TaskService::Empty> TaskService::Pause(
    Call call, task::PauseRequest request) {
  const auto init = co_await HoldInit(request.id(), TaskOperation::kPause);
  if (!init.ok()) co_return init.status();
  const auto runtime = instance_.runtime();
  pausing_ = true;
  absl::Status status = co_await runtime->Pause(call.Key(kRunStep));
  pausing_ = false;
  if (!status.ok()) co_return status;
  // It may have ended in between.
  if (init->process->phase() == state::PHASE_RUNNING) {
    init->process->set_phase(state::PHASE_PAUSED);
  }
  containerd::events::TaskPaused event;
  event.set_container_id(request.id());
  instance_.Emit(kTaskPausedTopic, event, state::RANK_STATE);
  co_return Empty();
}

TaskService::Reply<TaskService::Empty> TaskService::Resume(
    Call call, task::ResumeRequest request) {
  const auto init = co_await HoldInit(request.id(), TaskOperation::kResume);
  if (!init.ok()) co_return init.status();
  const auto runtime = instance_.runtime();
  absl::Status status = co_await runtime->Resume(call.Key(kRunStep));
  if (!status.ok()) co_return status;
  if (init->process->phase() == state::PHASE_PAUSED) {
    init->process->set_phase(state::PHASE_RUNNING);
  }
  containerd::events::TaskResumed event;
  event.set_container_id(request.id());
  instance_.Emit(kTaskResumedTopic, event, state::RANK_STATE);
  co_return Empty();
}

TaskService::Reply<TaskService::Empty> TaskService::Checkpoint(
    Call call, task::CheckpointTaskRequest request) {
  const auto init = co_await HoldInit(request.id(), TaskOperation::kCheckpoint);
  if (!init.ok()) co_return init.status();
  containerd::runc::v1::CheckpointOptions options;
  if (!request.options().type_url().empty() &&
      (!IsType(request.options().type_url(), kCheckpointOptions) ||
       !options.ParseFromString(request.options().value()))) {
    co_return InvalidArgument("checkpoint options of type \"" +
                              request.options().type_url() + "\": not " +
                              kCheckpointOptions);
  }
  const auto runtime = instance_.runtime();
  const std::string bundle = instance_.record().container().bundle();
  const std::string work = bundle + "/work/criu-work";
  const bool own_work = options.work_path().empty();
  absl::Status status = co_await runtime->Checkpoint(
      call.Key(kRunStep), request.path(), std::move(options));
  std::error_code ignored;
  if (!status.ok()) {
    // CRIU's log says why; the work directory is removed.
    const std::string log = bundle + "/criu-dump.log";
    if (own_work) {
      std::filesystem::copy_file(
          work + "/dump.log", log,
          std::filesystem::copy_options::overwrite_existing, ignored);
    }
    const std::string text = Message(status);
    status = Unknown(text.substr(0, text.find('\n')) + " path= " + log);
  }
  if (own_work) std::filesystem::remove_all(work, ignored);
  if (!status.ok()) co_return status;
  co_return Empty();
}

TaskService::Reply<TaskService::Empty> TaskService::Update(
    Call call, task::UpdateTaskRequest request) {
  const auto init = co_await HoldInit(request.id(), TaskOperation::kUpdate);
  if (!init.ok()) co_return init.status();
  const auto runtime = instance_.runtime();
  absl::Status status = co_await runtime->Update(
      call.Key(kRunStep),
      std::move(*request.mutable_resources()->mutable_value()));
  if (!status.ok()) co_return status;
  co_return Empty();
}

}  // namespace hydra
