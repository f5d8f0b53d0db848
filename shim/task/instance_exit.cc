// How exits, and what the kernel says of the cgroup, become changes and
// events.

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "containerd/events/task.pb.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/cgroup/control.h"
#include "shim/task/instance.h"
#include "shim/task/restart_policy.h"
#include "shim/task/topics.h"

namespace hydra {

void Instance::EmitExit(const state::Process& process) {
  containerd::events::TaskExit event;
  event.set_container_id(config_.id);
  event.set_id(process.exec_id().empty() ? config_.id : process.exec_id());
  event.set_pid(process.pid());
  event.set_exit_status(process.exit_status());
  *event.mutable_exited_at() = ToTimestamp(process.exited_at());
  Emit(kTaskExitTopic, event,
       process.exec_id().empty() ? state::RANK_KEPT : state::RANK_EXEC_EXIT);
}

void Instance::OnExit(uint64_t number, ProcessExit exit) {
  state::Process* process = FindNumber(number);
  // Told to a head before us, which died between saving and forgetting; or of
  // a process that was deleted.
  if (process == nullptr || process->exited_at() != 0) {
    // Nor may it have come to this.
    if (process != nullptr) EndTerminal(*process);
    if (process == nullptr || !process->exit_pending()) {
      monitor_->ForgetProcess(number);
    } else {
      // The head before us may not have come to it.
      if (!record_.container().private_pid_namespace()) Detach(KillAll());
      FinishInitExit();
    }
    return;
  }
  if (process->token() != 0) {
    live_[number]->held_exit = exit;
    return;
  }
  if (process->exec_id().empty()) {
    HandleInitExit(exit);
  } else {
    HandleExecExit(*process, exit);
  }
}

void Instance::EndTerminal(const state::Process& process) {
  const std::shared_ptr<Stdio> stdio = live(process)->stdio;
  if (stdio != nullptr) stdio->ProcessExited();
}

void Instance::HandleExecExit(state::Process& exec, const ProcessExit& exit) {
  exec.set_phase(state::PHASE_STOPPED);
  exec.set_exit_status(exit.status());
  exec.set_exited_at(exit.exited_at);
  EmitExit(exec);
  (void)Save();  // Logged there; the exit must be told all the same.
  EndTerminal(exec);
  const uint64_t number = exec.number();
  monitor_->ForgetProcess(number);
  live_[number]->exited.Set(true);
  if (on_ended_ != nullptr) on_ended_(exec);
  FinishInitExit();
}

void Instance::HandleInitExit(const ProcessExit& exit) {
  state::Process* init = record_.mutable_container()->mutable_init();
  init->set_exit_pending(true);
  init->set_exit_status(exit.status());
  init->set_exited_at(exit.exited_at);
  Touch();
  EndTerminal(*init);
  if (!record_.container().private_pid_namespace()) Detach(KillAll());
  if (ExecsActive()) (void)Save();  // Logged there.
  FinishInitExit();
}

bool Instance::ExecsActive() {
  const auto& execs = record_.container().execs();
  return std::any_of(execs.begin(), execs.end(), [](const auto& exec) {
    return exec.token() != 0 || exec.phase() == state::PHASE_RUNNING;
  });
}

bool Instance::IsStarting(uint64_t token) const {
  const state::Container& container = record_.container();
  return container.init().token() == token ||
         container.replacement().token() == token ||
         std::any_of(
             container.execs().begin(), container.execs().end(),
             [token](const auto& exec) { return exec.token() == token; });
}

bool Instance::InitGone() {
  const state::Process& init = record_.container().init();
  return init.exited_at() != 0 || live_[init.number()]->held_exit.has_value();
}

bool Instance::IsReplaced(const state::Process& init) const {
  return record_.container().has_replacement() &&
         record_.container().replacement().process() == init.number();
}

void Instance::FinishInitExit() {
  if (!record_.has_container()) return;
  state::Process* init = record_.mutable_container()->mutable_init();
  if (!init->exit_pending() || ExecsActive()) return;
  // The kernel counts an OOM kill before it reports the death, so this read
  // brings the OOM before the exit.
  ReadOom();
  if (init->phase() == state::PHASE_PAUSED) Detach(Thaw());
  init->set_exit_pending(false);
  init->set_phase(state::PHASE_STOPPED);
  const uint64_t number = init->number();
  const bool is_told = !IsReplaced(*init) || record_.container().has_native();
  if (is_told) EmitExit(*init);
  if (!IsReplaced(*init)) PlanNextStart(this);
  (void)Save();  // Logged there; the exit must be told all the same.
  monitor_->ForgetProcess(number);
  const std::shared_ptr<Live> live = live_[number];
  if (is_told) live->exited.Set(true);
  live->gone.Set(true);
  log_.Wake();
  if (on_ended_ != nullptr) on_ended_(record_.container().init());
}

void Instance::Settle() {
  // Over a copy: an exit may end in the removal of what we walk.
  const auto processes = live_;
  for (const auto& [number, live] : processes) {
    const state::Process* process = FindNumber(number);
    if (process == nullptr || process->token() != 0 ||
        !live->held_exit.has_value()) {
      continue;
    }
    const ProcessExit exit = *std::exchange(live->held_exit, {});
    OnExit(number, exit);
  }
  FinishInitExit();
}

// A container without a pid namespace of its own does not end with its init.
Async<void> Instance::KillAll() {
  const std::shared_ptr<Runtime> runtime = runtime_;
  const uint64_t token = monitor_->NewInternalToken();
  absl::Status status =
      co_await runtime->Kill(OperationKey{token, 1}, SIGKILL, true);
  if (!status.ok() && !absl::IsNotFound(status)) {
    LogWarning("kill what is left of the container, ignoring: ",
               Message(status));
  }
  monitor_->ForgetToken(token);
}

// A frozen cgroup could not be removed.
Async<void> Instance::Thaw() {
  const std::shared_ptr<Runtime> runtime = runtime_;
  const uint64_t token = monitor_->NewInternalToken();
  absl::Status status = co_await runtime->Resume(OperationKey{token, 1});
  if (!status.ok()) {
    LogWarning("resume a container that ended while paused, ignoring: ",
               Message(status));
  }
  monitor_->ForgetToken(token);
}

void Instance::EnterCgroup(int pid) {
  absl::StatusOr<Cgroup> found = Cgroup::OfProcess(pid);
  // One that has ended already has a cgroup all the same, until it is deleted:
  // what the kernel has counted there is to be told.
  if (!found.ok()) found = CgroupOfRuntime();
  if (!found.ok()) {
    LogWarning("cgroup of the container, no metrics and no OOM events: ",
               Message(found.status()));
    return;
  }
  if (geteuid() != 0) {
    // An ordinary user's container may have none of its own: it is where we
    // are, and what is counted and listed there is everybody's.
    const absl::StatusOr<Cgroup> ours = Cgroup::OfProcess(getpid());
    if (ours.ok() && ours->paths().directories == found->paths().directories) {
      LogInfo("the container has no cgroup of its own: no metrics");
      return;
    }
  }
  state::Container* container = record_.mutable_container();
  container->set_cgroup_mode(static_cast<int>(found->paths().mode));
  container->mutable_cgroup()->clear();
  for (const auto& [controller, directory] : found->paths().directories) {
    (*container->mutable_cgroup())[controller] = directory;
  }
  Touch();
  if (found->mode() == CgroupMode::kV2) {
    if (absl::Status status = EnableControllers(*found); !status.ok()) {
      LogDebug("enable cgroup controllers, ignoring: ", Message(status));
    }
  }
  WatchOom();
}

// Before there is another of the same name, or the end of this one would look
// like an OOM in that.
void Instance::LeaveCgroup() {
  oom_watch_ = {};
  oom_.reset();
  monitor_->Unstore(kOomStore);
  record_.mutable_container()->set_oom_seen(0);
}

absl::StatusOr<Cgroup> Instance::CgroupOfRuntime() const {
  CgroupPaths paths;
  for (const auto& [controller, directory] : runtime_->CgroupDirectories()) {
    if (controller.empty()) paths.mode = CgroupMode::kV2;
    paths.directories[controller.empty() ? std::string(Cgroup::kUnified)
                                         : controller] = directory;
  }
  return Cgroup::FromPaths(std::move(paths));
}

std::optional<Cgroup> Instance::cgroup() {
  if (!record_.has_container() || record_.container().cgroup().empty()) {
    return std::nullopt;
  }
  CgroupPaths paths;
  paths.mode = static_cast<CgroupMode>(record_.container().cgroup_mode());
  for (const auto& [controller, directory] : record_.container().cgroup()) {
    paths.directories[controller] = directory;
  }
  absl::StatusOr<Cgroup> cgroup = Cgroup::FromPaths(std::move(paths));
  if (!cgroup.ok()) {
    LogError("cgroup in ", config_.paths.state, ": ", Message(cgroup.status()));
    return std::nullopt;
  }
  return *std::move(cgroup);
}

void Instance::WatchOom() {
  const std::optional<Cgroup> found = cgroup();
  if (!found.has_value()) return;
  std::vector<UniqueFd> stored = monitor_->TakeStored(kOomStore);
  const bool inherits = !stored.empty();
  auto watcher =
      OomWatcher::Watch(*found, record_.container().oom_seen(),
                        inherits ? std::move(stored[0]) : UniqueFd());
  if (!watcher.ok()) {
    // After the container has ended its cgroup may be gone already.
    LogDebug("watch the cgroup for OOM, ignoring: ", Message(watcher.status()));
    return;
  }
  oom_ = *std::move(watcher);
  if (!inherits) monitor_->Store(kOomStore, {oom_->fd()});
  auto watch = loop_->Watch(oom_->fd(), EPOLLIN, [this](uint32_t) {
    ReadOom();
    if (dirty_) (void)Save();  // Logged there.
  });
  if (!watch.ok()) {
    LogWarning("watch the cgroup for OOM, ignoring: ", Message(watch.status()));
    oom_.reset();
    return;
  }
  oom_watch_ = *std::move(watch);
  // What happened while nobody watched.
  ReadOom();
}

void Instance::ReadOom() {
  if (oom_ == nullptr) return;
  const absl::StatusOr<OomEvents> events = oom_->Read();
  if (!events.ok()) {
    LogDebug("read OOM events, ignoring: ", Message(events.status()));
    return;
  }
  for (uint64_t i = 0; i < events->count; ++i) {
    containerd::events::TaskOOM event;
    event.set_container_id(config_.id);
    Emit(kTaskOomTopic, event, state::RANK_EXEC_EXIT);
  }
  record_.mutable_container()->set_oom_seen(oom_->seen());
  if (events->ended) {
    oom_watch_ = {};
    oom_.reset();
  }
}

}  // namespace hydra
