// How a container is ended on purpose, and removed. The task API leaves that to
// an engine, which sends signals and waits.
//
// The init gets a signal, time, and SIGKILL. Whoever ends it, or restarts it,
// holds the container's life for so long. Another who wants it ended too, and
// sooner, need not wait for that: the signal and the time of each count from
// its request on, and the end is the end for all.

#include <signal.h>

#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/task/task_service.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

// The steps' bases, beside those of task_restart.cc: see Call.
enum Base : uint32_t { kEndBase = 0x100, kHurryBase = 0x140 };
enum Step : uint32_t {
  kSignalStep = 1,
  kKillStep = 2,
  kThawStep = 3,
  kLateThawStep = 4,
};

// From SIGKILL to the news of the end: a process in an uninterruptible sleep
// takes its time.
constexpr std::chrono::seconds kKillLimit{10};

}  // namespace

bool TaskService::InitRuns() {
  const state::Process* init = instance_.FindProcess("");
  return init != nullptr && (init->phase() == state::PHASE_RUNNING ||
                             init->phase() == state::PHASE_PAUSED);
}

Async<void> TaskService::Thaw(OperationKey key, uint64_t number) {
  const state::Process* paused = instance_.FindNumber(number);
  if (paused == nullptr || paused->phase() != state::PHASE_PAUSED) co_return;
  const auto live = instance_.live(*paused);
  const auto guard = co_await live->mutex.Lock();
  const auto runtime = instance_.runtime();
  const absl::Status resumed = co_await runtime->Resume(key);
  if (!resumed.ok()) {
    LogWarning("resume, ignoring: ", Message(resumed));
    co_return;
  }
  state::Process* process = instance_.FindNumber(number);
  if (process == nullptr || process->phase() != state::PHASE_PAUSED) co_return;
  process->set_phase(state::PHASE_RUNNING);
  instance_.Touch();
}

Async<absl::Status> TaskService::EndUnder(Call call, int signal,
                                          milliseconds timeout) {
  ++ends_;
  const absl::Cleanup done = [this] { --ends_; };
  MonitorClient* const monitor = instance_.monitor();
  const state::Process& init = instance_.record().container().init();
  const uint64_t number = init.number();
  const auto live = instance_.live(init);
  // ESRCH: it has ended by itself, and the news is on its way.
  int error =
      co_await monitor->SignalProcess(call.Key(kSignalStep), number, signal);
  if (error == EINVAL) {
    co_return InvalidArgument("signal " + std::to_string(signal) +
                              ": there is none of that number");
  }
  // Frozen, it takes no signal.
  co_await Thaw(call.Key(kThawStep), number);
  bool gone = co_await SetWithin(loop_, live->gone, timeout);
  if (!gone) {
    error =
        co_await monitor->SignalProcess(call.Key(kKillStep), number, SIGKILL);
    co_await Thaw(call.Key(kLateThawStep), number);
    gone = co_await SetWithin(loop_, live->gone, kKillLimit);
  }
  if (!gone) {
    co_return MakeError(absl::StatusCode::kDeadlineExceeded,
                        "container " + instance_.config().id +
                            " has not ended, though it was killed");
  }
  co_return absl::OkStatus();
}

Async<absl::Status> TaskService::EndInit(Call call, int signal,
                                         milliseconds timeout) {
  return EndUnder(call.WithBase(kEndBase), signal, timeout);
}

Async<absl::Status> TaskService::HurryEnd(Call call, int signal,
                                          milliseconds timeout) {
  if (ends_ == 0 || !InitRuns()) co_return absl::OkStatus();
  absl::Status ended =
      co_await EndUnder(call.WithBase(kHurryBase), signal, timeout);
  co_return ended;
}

TaskService::Reply<TaskService::End> TaskService::Stop(Call call, int signal,
                                                       milliseconds timeout) {
  absl::Status hurried = co_await HurryEnd(call, signal, timeout);
  if (!hurried.ok()) co_return hurried;
  const auto guard = co_await life_.Lock();
  state::Container* container = instance_.container();
  if (container == nullptr) co_return NotCreated();
  End end;
  if (container->has_native()) {
    state::Native* native = container->mutable_native();
    end.changed = native->next_start_at() != 0;
    native->set_stopped(true);
    native->set_next_start_at(0);
    instance_.Touch();
    (void)instance_.Save();  // Logged there.
  }
  // If a head before us has ended it, that was us.
  const auto has_signalled = [&](Base base) {
    return instance_.monitor()->Knows(call.WithBase(base).Key(kSignalStep));
  };
  if (InitRuns() || has_signalled(kEndBase)) {
    end.changed = true;
    absl::Status ended = co_await EndInit(call, signal, timeout);
    if (!ended.ok()) co_return ended;
  }
  if (has_signalled(kHurryBase)) end.changed = true;
  container = instance_.container();
  if (container != nullptr) end.exit_status = container->init().exit_status();
  co_return end;
}

Async<absl::Status> TaskService::Remove(Call call, bool force) {
  const std::string id = instance_.config().id;
  if (!instance_.config().engine_address.empty()) {
    co_return FailedPrecondition(
        "container " + id + " belongs to the engine at " +
        instance_.config().engine_address + ", which is to remove it");
  }
  if (instance_.container() != nullptr && InitRuns() && !force) {
    co_return FailedPrecondition("container " + id +
                                 " is running: stop it before, or force it");
  }
  if (instance_.container() != nullptr) {
    absl::StatusOr<End> ended =
        co_await Stop(call, SIGKILL, milliseconds(kKillLimit));
    if (!ended.ok() && !absl::IsNotFound(ended.status())) {
      co_return ended.status();
    }
  }
  if (instance_.container() != nullptr) {
    absl::StatusOr<task::DeleteResponse> deleted = co_await DeleteInit(call);
    if (!deleted.ok() && !absl::IsNotFound(deleted.status())) {
      co_return deleted.status();
    }
    (void)instance_.Save();  // Logged there.
  }
  absl::StatusOr<Empty> shut_down =
      co_await Shutdown(call, task::ShutdownRequest());
  co_return shut_down.status();
}

}  // namespace hydra
