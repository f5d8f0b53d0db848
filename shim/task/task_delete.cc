// Delete: what takes processes down.

#include <unistd.h>

#include <chrono>
#include <utility>

#include "containerd/events/task.pb.h"
#include "shim/base/crash_point.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/mount/mount.h"
#include "shim/task/task_service.h"
#include "shim/task/topics.h"

namespace hydra {
namespace {

enum Step : uint32_t { kRunStep = 1 };

// As long as containerd 2.2 and later wait for the reader of the output.
constexpr std::chrono::seconds kDrainLimit{10};
// A reader that is there, with much to read.
constexpr std::chrono::seconds kLongestDrain{60};
// `runc delete` of a created container has killed it when it returns; its exit
// is on the way to us.
constexpr std::chrono::seconds kExitLimit{10};

// An answer to Delete.
task::DeleteResponse Deleted(const state::Process& process) {
  task::DeleteResponse response;
  response.set_pid(process.pid());
  response.set_exit_status(process.exit_status());
  *response.mutable_exited_at() = ToTimestamp(process.exited_at());
  return response;
}

}  // namespace

Async<absl::Status> TaskService::UnmountRootfs(std::string bundle) {
  std::function<absl::Status()> unmount = [rootfs = bundle + "/rootfs"] {
    return UnmountRecursive(rootfs);
  };
  absl::Status unmounted =
      co_await RunBlocking<absl::Status>(loop_, std::move(unmount));
  co_return unmounted;
}

TaskService::Reply<task::DeleteResponse> TaskService::Delete(
    Call call, task::DeleteRequest request) {
  co_await Settled();
  {
    const auto process = FindProcess(request.id(), request.exec_id());
    if (!process.ok()) co_return process.status();
  }
  if (request.exec_id().empty()) {
    absl::StatusOr<task::DeleteResponse> deleted = co_await DeleteInit(call);
    co_return deleted;
  }
  absl::StatusOr<task::DeleteResponse> deleted =
      co_await DeleteExec(call, request.exec_id());
  co_return deleted;
}

TaskService::Reply<task::DeleteResponse> TaskService::DeleteInit(Call call) {
  const auto live = instance_.live(instance_.record().container().init());
  const auto guard = co_await live->mutex.Lock();
  const state::Process* init = instance_.FindProcess("");
  if (init == nullptr) {
    co_return NotCreated();
  }
  HYDRA_CO_RETURN_IF_ERROR(CheckInit(init->phase(), TaskOperation::kDelete));
  absl::Status ended = co_await EndContainer(call, live);
  if (!ended.ok()) co_return ended;
  init = instance_.FindProcess("");
  task::DeleteResponse response = Deleted(*init);
  containerd::events::TaskDelete event;
  event.set_container_id(instance_.config().id);
  event.set_pid(init->pid());
  event.set_exit_status(init->exit_status());
  *event.mutable_exited_at() = ToTimestamp(init->exited_at());
  instance_.Emit(kTaskDeleteTopic, event);
  instance_.RemoveContainer();
  co_return response;
}

Async<absl::Status> TaskService::EndContainer(
    Call call, std::shared_ptr<Instance::Live> live) {
  const auto runtime = instance_.runtime();
  const bool created =
      instance_.FindProcess("")->phase() == state::PHASE_CREATED;
  if (!created && live->stdio != nullptr) {
    const bool drained =
        co_await live->stdio->Drain(kDrainLimit, kLongestDrain);
    if (!drained) LogError("output of the container is not read, given up");
  }
  absl::Status deleted = co_await runtime->Delete(call.Key(kRunStep), false);
  if (!deleted.ok()) co_return deleted;
  if (created) {
    const bool exited = co_await SetWithin(loop_, live->exited, kExitLimit);
    if (!exited) LogError("exit of the created container did not come");
  }
  if (live->stdio != nullptr) co_await live->stdio->Close();
  std::vector<std::shared_ptr<Instance::Live>> execs;
  for (const auto& exec : instance_.record().container().execs()) {
    execs.push_back(instance_.live(exec));
  }
  for (const auto& exec : execs) {
    if (exec->stdio != nullptr) co_await exec->stdio->Close();
  }
  if (instance_.record().container().has_rootfs_mounts()) {
    absl::Status unmounted =
        co_await UnmountRootfs(instance_.record().container().bundle());
    if (!unmounted.ok()) {
      co_return Unknown("failed rootfs umount: " + Message(unmounted));
    }
  }
  co_return absl::OkStatus();
}

TaskService::Reply<task::DeleteResponse> TaskService::DeleteExec(
    Call call, std::string exec_id) {
  (void)call;  // Nothing here is an operation: all may be done twice.
  const auto live = instance_.live(*instance_.FindProcess(exec_id));
  const auto guard = co_await live->mutex.Lock();
  const state::Process* exec = instance_.FindProcess(exec_id);
  if (exec == nullptr) {
    co_return NotFound("process does not exist " + exec_id + ": not found");
  }
  HYDRA_CO_RETURN_IF_ERROR(CheckExec(exec->phase(), TaskOperation::kDelete));
  if (live->stdio != nullptr) {
    const bool drained =
        co_await live->stdio->Drain(kDrainLimit, kLongestDrain);
    if (!drained)
      LogError("output of exec ", exec_id, " is not read, given up");
    co_await live->stdio->Close();
  }
  exec = instance_.FindProcess(exec_id);
  if (exec == nullptr) {  // The container was deleted meanwhile.
    co_return NotFound("process does not exist " + exec_id + ": not found");
  }
  unlink(instance_.runtime()->ExecPidFile(exec_id).c_str());
  HYDRA_CRASH_POINT("task.pid_file_removed");
  task::DeleteResponse response = Deleted(*exec);
  instance_.RemoveExec(*exec);
  co_return response;
}

}  // namespace hydra
