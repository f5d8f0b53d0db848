// The task service, without a transport: one method per RPC of
// containerd.task.v2.Task (and v3, which is the same), in the order of the
// .proto. Messages and codes are those of containerd's own shim; where we say
// something else it is noted at the method.
//
// Every method runs again from the top, with the same token, when a head dies
// over it. So each change of the world goes through an operation of the
// monitor under that token, or may be done twice without harm, and a start
// leaves its token in the record before it begins.
//
// Common errors: NotFound "container not created: not found" for an id that is
// not ours or not created, NotFound "process does not exist <exec id>: not
// found".
//
// Loop thread only.

#ifndef HYDRA_TASK_TASK_SERVICE_H_
#define HYDRA_TASK_TASK_SERVICE_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "containerd/task/v2/task.pb.h"
#include "google/protobuf/empty.pb.h"
#include "shim/event/async.h"
#include "shim/task/instance.h"
#include "shim/task/process_state.h"

namespace hydra {

// The caller of one request.
struct Call {
  // Names its operations; see link/protocol.h. One that is made of several
  // methods' steps gives each a `base` of its own, sixteen apart.
  uint64_t token = 0;
  uint32_t base = 0;
  // Set when nobody waits for the answer any more.
  Future<bool> cancelled;

  OperationKey Key(uint32_t step) const { return {token, base + step}; }
  Call WithBase(uint32_t other) const { return {token, other, cancelled}; }
};

namespace task = containerd::task::v2;

class TaskService final {
 public:
  using Empty = google::protobuf::Empty;
  template <typename T>
  using Reply = Async<absl::StatusOr<T>>;

  // `shut_down` is called once, when Shutdown has removed what the instance
  // has on disk and its answer is about to be sent.
  TaskService(Instance* instance, std::function<void()> shut_down);
  TaskService(const TaskService&) = delete;
  TaskService& operator=(const TaskService&) = delete;

  // Completes or undoes what a head before us began for a caller who will not
  // ask again: each start in the record whose token `is_pending` does not know.
  Async<void> FinishOrphans(std::function<bool(uint64_t token)> is_pending);

  Reply<task::StateResponse> State(Call call, task::StateRequest request);
  Reply<task::CreateTaskResponse> Create(Call call,
                                         task::CreateTaskRequest request);
  // The same for a container that no engine has; `log_max_bytes` wins over what
  // the bundle says of its log. `starts`: it is running afterwards, by one run
  // of the runtime; not from a checkpoint.
  Reply<task::CreateTaskResponse> CreateNative(Call call,
                                               task::CreateTaskRequest request,
                                               state::Native native,
                                               uint64_t log_max_bytes,
                                               bool starts);
  Reply<task::StartResponse> Start(Call call, task::StartRequest request);
  Reply<task::DeleteResponse> Delete(Call call, task::DeleteRequest request);
  // From the cgroup, with no run of the runtime. A stopped task still has its
  // init's pid: containerd 1.7 and later take a task without pids for a leaked
  // one when they restart, and its exit status would be lost.
  Reply<task::PidsResponse> Pids(Call call, task::PidsRequest request);
  Reply<Empty> Pause(Call call, task::PauseRequest request);
  Reply<Empty> Resume(Call call, task::ResumeRequest request);
  Reply<Empty> Checkpoint(Call call, task::CheckpointTaskRequest request);
  Reply<Empty> Kill(Call call, task::KillRequest request);
  Reply<Empty> Exec(Call call, task::ExecProcessRequest request);
  Reply<Empty> ResizePty(Call call, task::ResizePtyRequest request);
  Reply<Empty> CloseIO(Call call, task::CloseIORequest request);
  Reply<Empty> Update(Call call, task::UpdateTaskRequest request);
  // Canceled when the caller is gone. Where there is no engine, also for a
  // container that has not been made yet.
  Reply<task::WaitResponse> Wait(Call call, task::WaitRequest request);
  Reply<task::StatsResponse> Stats(Call call, task::StatsRequest request);
  // shim_pid is the monitor's, which stays the same for the life of the
  // container.
  Reply<task::ConnectResponse> Connect(Call call, task::ConnectRequest request);
  // Answered when the socket is gone and the events are delivered, so that a
  // container of the same id may be created at once.
  Reply<Empty> Shutdown(Call call, task::ShutdownRequest request);

  // ---- what the task API has no words for, in task_restart.cc ----
  struct End {
    bool changed = false;  // False: it had ended before.
    uint32_t exit_status = 0;
  };
  // Ends the container: with `signal`, and after `timeout` with SIGKILL. No
  // policy starts it again. NotFound without a container; DeadlineExceeded if
  // it does not even end then.
  Reply<End> Stop(Call call, int signal, std::chrono::milliseconds timeout);
  // The same, and another init in its place; see Restart in
  // proto/hydra/v1/instance.proto. The exit status is that of the one before.
  Reply<End> Restart(Call call, int signal, std::chrono::milliseconds timeout);
  // Starts a container that has ended. `by_policy`: because it was planned.
  Async<absl::Status> StartAgain(Call call, bool by_policy);
  // Goes on with what a head before us has begun for nobody who asks again.
  Async<absl::Status> FinishReplacement(Call call);
  // Removes the container and its instance. FailedPrecondition if it runs, and
  // `force` is not set.
  Async<absl::Status> Remove(Call call, bool force);

  // Says that a call will soon have the runtime move a process into a cgroup;
  // see shim/cgroup/warm_up.h.
  void ExpectRuntime();

 private:
  absl::StatusOr<state::Container*> FindContainer(const std::string& id);
  absl::StatusOr<state::Process*> FindProcess(const std::string& id,
                                              const std::string& exec_id);
  // The init, while nothing else changes what it does.
  struct HeldInit {
    std::shared_ptr<Instance::Live> live;
    AsyncMutex::Guard guard;
    state::Process* process;
  };
  // Waits for it. NotFound; FailedPrecondition where `operation` is not for the
  // phase that it is in then.
  Async<absl::StatusOr<HeldInit>> HoldInit(std::string id,
                                           TaskOperation operation);
  absl::Status PlacePids(state::Container* container);
  absl::StatusOr<state::Container> NewContainer(
      const Call& call, const task::CreateTaskRequest& request);
  // What `prepare` adds to the container is saved with it.
  Reply<task::CreateTaskResponse> CreateWith(
      Call call, task::CreateTaskRequest request,
      std::function<void(state::Container*)> prepare, bool starts);
  Async<absl::Status> MountAndCreate(Call call, task::CreateTaskRequest request,
                                     std::shared_ptr<Instance::Live> live,
                                     bool starts);
  // It has been started: notes and tells it.
  void InitStarted();
  Async<void> UndoCreate(Call call, std::shared_ptr<Instance::Live> live);
  Async<absl::Status> UnmountRootfs(std::string bundle);
  Async<absl::StatusOr<ProcessStdio>> OpenStdio(
      OperationKey operation, uint64_t process,
      std::shared_ptr<Instance::Live> live);
  Async<absl::Status> StartInit(Call call);
  Async<absl::Status> StartExec(Call call, std::string exec_id);
  Async<absl::StatusOr<int>> RunExec(Call call, std::string exec_id,
                                     std::shared_ptr<Instance::Live> live);
  Reply<task::DeleteResponse> DeleteInit(Call call);
  Reply<task::DeleteResponse> DeleteExec(Call call, std::string exec_id);
  Async<absl::Status> EndContainer(Call call,
                                   std::shared_ptr<Instance::Live> live);
  bool InitRuns();
  // By the signal, and after `timeout` by SIGKILL.
  Async<absl::Status> EndInit(Call call, int signal,
                              std::chrono::milliseconds timeout);
  // The same, with the call's base.
  Async<absl::Status> EndUnder(Call call, int signal,
                               std::chrono::milliseconds timeout);
  // The same, if somebody else is at it, who may have given it longer.
  Async<absl::Status> HurryEnd(Call call, int signal,
                               std::chrono::milliseconds timeout);
  // Resumes the process if it is paused; an error is logged.
  Async<void> Thaw(OperationKey key, uint64_t number);
  // Whether an init that is to be replaced has yet to end.
  bool OldInitRuns();
  // Lets the container's init be replaced under the call's token, and does so
  // once that has gone.
  void BeginReplacement(const Call& call);
  // The exit status of the one that was replaced.
  Async<absl::StatusOr<uint32_t>> Replace(Call call);
  Async<absl::Status> ReplaceInit(Call call);
  Async<absl::Status> CreateAgain(Call call);
  // How the replacement that this call asks for has come out, if a head before
  // us has done it: the status of the init before.
  std::optional<absl::StatusOr<uint32_t>> Replaced(const Call& call);
  void TellReplacement(const state::Replacement& replacement);
  absl::Status CheckRestart(const state::Container& container);
  // Waits while there is no init, because another is to take its place.
  Async<void> Settled();

  Instance& instance_;
  EventLoop* const loop_;
  const std::function<void()> shut_down_;
  bool pausing_ = false;
  // Held by what ends the container, and starts it again.
  AsyncMutex life_;
  int ends_ = 0;  // Calls of EndInit that are under way.
};

// The process ids in the cgroup and below it, from cgroup.procs; empty if it is
// gone.
std::vector<int> ProcessesOf(const Cgroup& cgroup);

// NotFound, in containerd's words.
absl::Status NotCreated();

}  // namespace hydra

#endif  // HYDRA_TASK_TASK_SERVICE_H_
