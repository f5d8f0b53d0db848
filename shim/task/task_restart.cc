// How a container is started again in the same place, for which the task API
// has no words.
//
// A replacement of the init
//   Its beginning is in the record (Replacement), with the token that its steps
//   have, before the first of them. From then on State says RUNNING, the exit
//   of the old init is told to no engine, and whatever needs the runtime waits
//   once that has ended.
//     the old init runs      EndInit; it is there for all until it has ended
//     it has gone            its streams are left, the runtime deletes it, and
//                            ReplaceInit puts a new process into the record
//     STOPPED, another       the runtime creates it
//     CREATED                the runtime starts it
//   and the record says that it is done. A head that takes over runs it again
//   from the top, under the same token; each step is seen in the record or is
//   an operation that is not done twice.

#include <signal.h>

#include <chrono>
#include <utility>

#include "hydra/v1/events.pb.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/task/task_service.h"
#include "shim/task/topics.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

// The steps' bases, beside those of task_stop.cc: see Call.
enum Base : uint32_t {
  kDeleteBase = 0x110,
  kCreateBase = 0x120,
  kStartBase = 0x130,
  kUndoBase = 0x150,
};
enum Step : uint32_t { kRunStep = 1 };

constexpr std::chrono::seconds kLeaveLimit{10};
constexpr std::chrono::seconds kLongestLeave{60};

}  // namespace

Async<void> TaskService::Settled() {
  if (!instance_.record().container().has_replacement()) co_return;
  // Until it has ended the old one is there for all, however long that takes.
  if (OldInitRuns()) co_return;
  const auto guard = co_await life_.Lock();
}

bool TaskService::OldInitRuns() {
  const state::Container& container = instance_.record().container();
  return container.init().number() == container.replacement().process() &&
         !instance_.live(container.init())->gone.is_set();
}

void TaskService::BeginReplacement(const Call& call) {
  state::Container* container = instance_.record().mutable_container();
  if (container->replacement().token() == call.token) return;
  state::Replacement* replacement = container->mutable_replacement();
  replacement->set_token(call.token);
  replacement->set_process(container->init().number());
  if (container->has_native()) {
    container->mutable_native()->set_next_start_at(0);
  }
  instance_.Touch();
  (void)instance_.Save();  // Logged there; a head's death would tell.
}

Async<absl::Status> TaskService::CreateAgain(Call call) {
  const state::Container& container = instance_.record().container();
  task::CreateTaskRequest request;
  request.set_id(instance_.config().id);
  request.set_bundle(container.bundle());
  const auto live = instance_.live(container.init());
  absl::Status created =
      co_await MountAndCreate(call.WithBase(kCreateBase), request, live, false);
  state::Process* init = instance_.FindProcess("");
  if (created.ok()) init->set_phase(state::PHASE_CREATED);
  instance_.Touch();
  (void)instance_.Save();  // Logged there.
  co_return created;
}

Async<absl::Status> TaskService::ReplaceInit(Call call) {
  state::Container* container = instance_.record().mutable_container();
  state::Replacement* replacement = container->mutable_replacement();
  if (container->init().number() == replacement->process()) {
    const state::Process& old = container->init();
    replacement->set_pid(old.pid());
    replacement->set_exit_status(old.exit_status());
    replacement->set_exited_at(old.exited_at());
    const auto live = instance_.live(old);
    if (live->stdio != nullptr) {
      co_await live->stdio->Leave(kLeaveLimit, kLongestLeave);
    }
    absl::Status deleted = co_await instance_.runtime()->Delete(
        call.WithBase(kDeleteBase).Key(kRunStep), false);
    if (!deleted.ok()) co_return deleted;
    instance_.ReplaceInit();
    (void)instance_.Save();  // Logged there.
  }
  if (container->init().phase() == state::PHASE_STOPPED) {
    absl::Status created = co_await CreateAgain(call);
    if (!created.ok()) co_return created;
  }
  if (container->init().phase() == state::PHASE_CREATED ||
      container->init().token() == call.token) {
    absl::Status started = co_await StartInit(call.WithBase(kStartBase));
    if (!started.ok()) co_return started;
  }
  co_return absl::OkStatus();
}

Async<absl::StatusOr<uint32_t>> TaskService::Replace(Call call) {
  absl::Status status = co_await ReplaceInit(call);
  if (!status.ok()) {
    LogError("start the container again: ", Message(status));
    // What the runtime has made of it must not stay.
    (void)co_await instance_.runtime()->Delete(
        call.WithBase(kUndoBase).Key(kRunStep), true);
  }
  state::Container* container = instance_.record().mutable_container();
  state::Replacement replacement = container->replacement();
  replacement.set_code(status.raw_code());
  replacement.set_message(std::string(status.message()));
  *container->mutable_replaced() = replacement;
  container->clear_replacement();
  state::Process* init = container->mutable_init();
  if (status.ok()) {
    container->set_restarts(container->restarts() + 1);
    if (!container->has_native()) TellReplacement(replacement);
  } else if (!instance_.live(*init)->gone.is_set()) {
    // It has ended after all, as the one before did.
    init->set_token(0);
    if (init->exited_at() == 0) {
      init->set_pid(replacement.pid());
      init->set_exit_status(replacement.exit_status());
      init->set_exited_at(replacement.exited_at());
    }
    init->set_exit_pending(true);
  }
  instance_.Touch();
  (void)instance_.Save();  // Logged there.
  instance_.Settle();
  if (!status.ok()) co_return status;
  co_return replacement.exit_status();
}

void TaskService::TellReplacement(const state::Replacement& replacement) {
  v1::Restarting event;
  event.set_container_id(instance_.config().id);
  event.set_exit_status(replacement.exit_status());
  event.set_restarts(instance_.record().container().restarts());
  event.set_exited_at(replacement.exited_at());
  event.set_starts_at(UnixNow());
  instance_.EmitOwn(kRestartTopic, event);
}

std::optional<absl::StatusOr<uint32_t>> TaskService::Replaced(
    const Call& call) {
  const state::Replacement& replaced =
      instance_.record().container().replaced();
  if (replaced.token() != call.token) return std::nullopt;
  if (replaced.code() != 0) {
    return MakeError(static_cast<absl::StatusCode>(replaced.code()),
                     replaced.message());
  }
  return replaced.exit_status();
}

absl::Status TaskService::CheckRestart(const state::Container& container) {
  const std::string id = instance_.config().id;
  if (container.init().phase() == state::PHASE_CREATED ||
      container.init().phase() == state::PHASE_CREATED_CHECKPOINT) {
    return FailedPrecondition("container " + id + ": not started yet");
  }
  if (!container.has_native() &&
      container.init().phase() == state::PHASE_STOPPED) {
    return FailedPrecondition(
        "container " + id +
        " has ended, and its engine has been told: start it there");
  }
  return absl::OkStatus();
}

TaskService::Reply<TaskService::End> TaskService::Restart(
    Call call, int signal, milliseconds timeout) {
  // Not if a head before us has begun: the end under way is another's, or ours.
  if (instance_.container() != nullptr && !Replaced(call).has_value() &&
      instance_.container()->replacement().token() != call.token) {
    absl::Status hurried = co_await HurryEnd(call, signal, timeout);
    if (!hurried.ok()) co_return hurried;
  }
  const auto guard = co_await life_.Lock();
  state::Container* container = instance_.container();
  if (container == nullptr) co_return NotCreated();
  if (const auto before = Replaced(call)) {
    if (!before->ok()) co_return before->status();
    co_return End{true, **before};
  }
  if (container->replacement().token() != call.token) {
    absl::Status possible = CheckRestart(*container);
    if (!possible.ok()) co_return possible;
  }
  if (container->has_native()) {
    container->mutable_native()->set_stopped(false);
    container->mutable_native()->set_failures(0);
  }
  BeginReplacement(call);
  if (OldInitRuns()) {
    absl::Status ended = co_await EndInit(call, signal, timeout);
    if (!ended.ok()) {
      container->clear_replacement();
      instance_.Touch();
      co_return ended;
    }
  }
  const absl::StatusOr<uint32_t> replaced = co_await Replace(call);
  if (!replaced.ok()) co_return replaced.status();
  End end;
  end.changed = true;
  end.exit_status = *replaced;
  co_return end;
}

Async<absl::Status> TaskService::StartAgain(Call call, bool by_policy) {
  const auto guard = co_await life_.Lock();
  state::Container* container = instance_.container();
  if (container == nullptr) co_return NotCreated();
  // A policy's start is no request that comes again, and its token may be one
  // that an earlier head has used.
  if (const auto before = Replaced(call); before.has_value() && !by_policy) {
    co_return before->status();
  }
  const bool again = container->replacement().token() == call.token;
  if (!again) {
    // Stopped, or started by somebody, while this waited.
    if (by_policy && container->native().next_start_at() == 0) {
      co_return absl::OkStatus();
    }
    if (container->init().phase() != state::PHASE_STOPPED) {
      co_return CheckInit(container->init().phase(), TaskOperation::kStart);
    }
    if (!by_policy) {
      container->mutable_native()->set_stopped(false);
      container->mutable_native()->set_failures(0);
    }
    BeginReplacement(call);
  }
  const absl::StatusOr<uint32_t> replaced = co_await Replace(call);
  co_return replaced.status();
}

Async<absl::Status> TaskService::FinishReplacement(Call call) {
  const auto guard = co_await life_.Lock();
  const state::Container& container = instance_.record().container();
  if (!container.has_replacement()) co_return absl::OkStatus();
  if (OldInitRuns()) {
    absl::Status ended = co_await EndInit(call, SIGKILL, milliseconds(0));
    if (!ended.ok()) co_return ended;
  }
  const absl::StatusOr<uint32_t> replaced = co_await Replace(call);
  co_return replaced.status();
}

}  // namespace hydra
