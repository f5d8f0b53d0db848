// hydra.v1.Instance: the life of the container, and how it stands.

#include <signal.h>

#include <chrono>
#include <string>
#include <utility>

#include "containerd/runc/v1/options.pb.h"
#include "shim/base/status.h"
#include "shim/link/journal.h"
#include "shim/rpc/instance_service.h"
#include "shim/task/keeper.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

// A stream's number is its tag's in the log.
static_assert(static_cast<int>(v1::STDOUT) ==
              static_cast<int>(link::JournalTag::kStdout));
static_assert(static_cast<int>(v1::STDERR) ==
              static_cast<int>(link::JournalTag::kStderr));
static_assert(static_cast<int>(v1::CONSOLE) ==
              static_cast<int>(link::JournalTag::kConsole));

// The steps of Run: see Call.
enum Base : uint32_t { kCreateBase = 0x200, kStartBase = 0x210 };

constexpr milliseconds kDefaultTimeout{10'000};
constexpr char kRuncOptions[] = "containerd.runc.v1.Options";

Call WithBase(Call call, uint32_t base) {
  call.base = base;
  return call;
}

template <typename Request>
milliseconds TimeoutOf(const Request& request) {
  return request.has_timeout() ? milliseconds(request.timeout())
                               : kDefaultTimeout;
}

template <typename Request>
int SignalOf(const Request& request, const state::Record& record) {
  if (request.signal() != 0) return static_cast<int>(request.signal());
  const uint32_t its_own = record.container().native().stop_signal();
  return its_own == 0 ? SIGTERM : static_cast<int>(its_own);
}

absl::Status CheckAbsolute(const char* what, const std::string& path) {
  if (path.empty() || path.front() == '/') return absl::OkStatus();
  return InvalidArgument(std::string(what) + " \"" + path +
                         "\": not an absolute path");
}

absl::Status CheckRun(const v1::RunRequest& request) {
  HYDRA_RETURN_IF_ERROR(
      CheckAbsolute("exit directory", request.notice().directory()));
  HYDRA_RETURN_IF_ERROR(CheckAbsolute("stdin", request.stdin()));
  HYDRA_RETURN_IF_ERROR(CheckAbsolute("stdout", request.stdout()));
  HYDRA_RETURN_IF_ERROR(CheckAbsolute("stderr", request.stderr()));
  const v1::ExitNotice& notice = request.notice();
  for (const int64_t signal :
       {int64_t{notice.signal()}, int64_t{request.stop_signal()}}) {
    if (signal < 0 || signal > SIGRTMAX) {
      return InvalidArgument("signal " + std::to_string(signal) +
                             ": there is none of that number");
    }
  }
  if (notice.pid() < 0 ||
      (notice.pid() > 0 && StartTimeOf(notice.pid()) == 0)) {
    return InvalidArgument("process " + std::to_string(notice.pid()) +
                           ", to be notified: there is none");
  }
  if (!v1::RestartPolicy::Name_IsValid(request.restart().name())) {
    return InvalidArgument("restart policy " +
                           std::to_string(request.restart().name()) +
                           ": not known");
  }
  if (request.remove() && request.restart().name() != v1::RestartPolicy::NO) {
    return InvalidArgument(
        "a container that is removed when it ends cannot be started again");
  }
  return absl::OkStatus();
}

std::string StreamName(const std::string& fifo) {
  return fifo.empty() ? kNobodyName : kClientPrefix + fifo;
}

task::CreateTaskRequest CreateRequestOf(const std::string& id,
                                        const v1::RunRequest& request) {
  task::CreateTaskRequest create;
  create.set_id(id);
  create.set_bundle(request.bundle());
  create.set_terminal(request.terminal());
  if (request.input() || !request.stdin().empty()) {
    create.set_stdin(StreamName(request.stdin()));
  }
  create.set_stdout(StreamName(request.stdout()));
  if (!request.terminal()) create.set_stderr(StreamName(request.stderr()));
  create.set_checkpoint(request.checkpoint());
  create.mutable_options()->set_type_url(kRuncOptions);
  request.options().SerializeToString(
      create.mutable_options()->mutable_value());
  return create;
}

state::Native NativeOf(const Call& call, const v1::RunRequest& request) {
  state::Native native;
  *native.mutable_restart() = request.restart();
  native.set_remove(request.remove());
  *native.mutable_notice() = request.notice();
  native.set_notice_start_time(StartTimeOf(request.notice().pid()));
  native.set_source(request.source());
  *native.mutable_command() = request.command();
  *native.mutable_labels() = request.labels();
  native.set_run_token(call.token);
  native.set_stop_signal(request.stop_signal());
  return native;
}

}  // namespace

InstanceService::Reply<v1::RunResponse> InstanceService::Run(
    Call call, v1::RunRequest request) {
  const std::string id = instance_.config().id;
  if (!instance_.config().engine_address.empty()) {
    co_return FailedPrecondition("the instance belongs to the engine at " +
                                 instance_.config().engine_address);
  }
  const state::Container* container = instance_.container();
  // What a head before us has made under this token is ours; what it was making
  // is made on.
  const bool is_made = container != nullptr &&
                       container->native().run_token() == call.token &&
                       container->init().phase() != state::PHASE_CREATING;
  if (!is_made) {
    HYDRA_CO_RETURN_IF_ERROR(CheckRun(request));
    absl::StatusOr<task::CreateTaskResponse> created =
        co_await tasks_.CreateNative(
            WithBase(call, kCreateBase), CreateRequestOf(id, request),
            NativeOf(call, request), request.log_max_bytes(),
            !request.create_only() && request.checkpoint().empty());
    if (!created.ok()) co_return created.status();
    (void)instance_.Save();  // Logged there.
  }
  container = instance_.container();
  if (!request.create_only() &&
      (container->init().phase() == state::PHASE_CREATED ||
       container->init().phase() == state::PHASE_CREATED_CHECKPOINT ||
       container->init().token() == call.token)) {
    task::StartRequest start;
    start.set_id(id);
    absl::StatusOr<task::StartResponse> started =
        co_await tasks_.Start(WithBase(call, kStartBase), start);
    if (!started.ok()) {
      task::DeleteRequest undo;
      undo.set_id(id);
      const auto undone =
          co_await tasks_.Delete(WithBase(call, kStartBase + 1), undo);
      (void)undone;  // The error is that it could not be started.
      co_return started.status();
    }
  }
  v1::RunResponse response;
  container = instance_.container();
  if (container != nullptr) response.set_pid(container->init().pid());
  co_return response;
}

InstanceService::Reply<v1::StopResponse> InstanceService::Stop(
    Call call, v1::StopRequest request) {
  const absl::StatusOr<TaskService::End> end = co_await tasks_.Stop(
      call, SignalOf(request, instance_.record()), TimeoutOf(request));
  if (!end.ok()) co_return end.status();
  v1::StopResponse response;
  response.set_changed(end->changed);
  response.set_exit_status(end->exit_status);
  co_return response;
}

InstanceService::Reply<v1::RestartResponse> InstanceService::Restart(
    Call call, v1::RestartRequest request) {
  const absl::StatusOr<TaskService::End> end = co_await tasks_.Restart(
      call, SignalOf(request, instance_.record()), TimeoutOf(request));
  if (!end.ok()) co_return end.status();
  v1::RestartResponse response;
  response.set_pid(instance_.FindProcess("")->pid());
  response.set_exit_status(end->exit_status);
  co_return response;
}

InstanceService::Reply<v1::RemoveResponse> InstanceService::Remove(
    Call call, v1::RemoveRequest request) {
  absl::Status removed = co_await tasks_.Remove(call, request.force());
  if (!removed.ok()) co_return removed;
  co_return v1::RemoveResponse();
}

void InstanceService::DescribeContainer(const MonitorStatus& status,
                                        v1::Container* to) {
  const state::Container& from = *instance_.container();
  const state::Process& init = from.init();
  const bool is_replaced = from.has_replacement();
  to->set_bundle(from.bundle());
  to->set_status(is_replaced ? containerd::v1::types::RUNNING
                             : StatusOf(init.phase()));
  to->set_pid(init.pid());
  if (to->status() == containerd::v1::types::STOPPED) {
    to->set_exit_status(init.exit_status());
    to->set_exited_at(init.exited_at());
  }
  to->set_created_at(from.created_at());
  to->set_started_at(from.started_at());
  to->set_terminal(init.terminal());
  to->set_input(!init.stdin().empty());
  for (const state::Process& exec : from.execs()) {
    v1::Exec* entry = to->add_execs();
    entry->set_id(exec.exec_id());
    entry->set_status(StatusOf(exec.phase()));
    entry->set_pid(exec.pid());
    entry->set_exit_status(exec.exit_status());
    entry->set_exited_at(exec.exited_at());
  }
  *to->mutable_restart() = from.native().restart();
  to->set_restarts(from.restarts());
  to->set_next_start_at(from.native().next_start_at());
  to->set_stopped(from.native().stopped());
  to->set_source(from.native().source());
  *to->mutable_command() = from.native().command();
  *to->mutable_labels() = from.native().labels();
  if (from.has_log()) {
    if (!from.log().temporary()) {
      to->mutable_log()->set_max_bytes(from.log().max_bytes());
    }
    to->mutable_log()->set_directory(instance_.log().directory());
    to->mutable_log()->set_written(status.numbers.journal_bytes);
    to->mutable_log()->set_lost(status.numbers.journal_lost_bytes);
  }
  for (const auto& [stream, state] :
       Stdio::OutputsOf(*instance_.monitor(), init.number())) {
    v1::Output* output = to->add_outputs();
    output->set_stream(static_cast<v1::Stream>(stream));
    output->set_bytes(state->bytes);
    output->set_lost(state->lost_bytes);
    output->set_spooled(state->spooled_bytes);
    output->set_replayed(state->replayed_bytes);
    output->set_in_spool(state->spool_size);
  }
  *to->mutable_cgroup() = from.cgroup();
}

}  // namespace hydra
