#include "shim/task/keeper.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/process_stat.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/io/sink.h"

namespace hydra {
namespace {

// HYDRA: SIGRTMIN+10, as the paper has it.
constexpr int kNoticeSignal = 10;

// Sends the signal, if the process is still the one that started then.
absl::Status SignalProcess(int pid, uint64_t start_time, int signal) {
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) return ErrnoError(errno, "pidfd_open");
  if (StartTimeOf(pid) != start_time) {
    return NotFound("the pid is another process's by now");
  }
  if (syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) < 0) {
    return ErrnoError(errno, "pidfd_send_signal");
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t StartTimeOf(int pid) {
  constexpr size_t kStartTime = 22 - 3;
  const std::vector<std::string> fields = ReadProcessStat(pid);
  return fields.size() > kStartTime
             ? strtoull(fields[kStartTime].c_str(), nullptr, 10)
             : 0;
}

Keeper::Keeper(Instance* instance, TaskService* tasks)
    : instance_(*instance), tasks_(*tasks) {
  instance_.SetOnEnded(
      [this](const state::Process& process) { OnEnded(process); });
}

void Keeper::TakeOver(const std::function<bool(uint64_t token)>& is_pending) {
  if (!instance_.record().has_container()) return;
  const state::Container& container = instance_.record().container();
  for (const state::Process& exec : container.execs()) {
    if (exec.phase() == state::PHASE_STOPPED) OnEnded(exec);
  }
  if (container.has_replacement()) {
    const uint64_t token = container.replacement().token();
    if (!is_pending(token)) Detach(FinishReplacement(token));
    return;
  }
  const state::Process& init = container.init();
  if (init.phase() == state::PHASE_STOPPED && !init.exit_pending()) {
    OnContainerEnded();
  }
}

Async<void> Keeper::FinishReplacement(uint64_t token) {
  Call call;
  call.token = token;
  const absl::Status finished = co_await tasks_.FinishReplacement(call);
  if (!finished.ok()) {
    LogError("start the container again: ", Message(finished));
  }
  instance_.monitor()->ForgetToken(token);
}

void Keeper::OnEnded(const state::Process& process) {
  if (process.exec_id().empty()) {
    OnContainerEnded();
  } else if (process.stdout().starts_with(kNobodyName)) {
    Detach(DeleteExec(process.exec_id()));
  }
}

void Keeper::OnContainerEnded() {
  const state::Container& container = instance_.record().container();
  if (!container.has_native() || container.has_replacement()) return;
  if (!container.native().noticed()) Notice();
  if (container.native().next_start_at() != 0) {
    const std::chrono::nanoseconds wait(container.native().next_start_at() -
                                        UnixNow());
    next_start_ =
        instance_.loop()->After(std::max<EventLoop::Clock::duration>(wait, {}),
                                [this] { Detach(StartAgain()); });
  } else if (container.native().remove() && !removing_) {
    removing_ = true;
    Detach(Remove());
  }
}

void Keeper::Notice() {
  const state::Container& container = instance_.record().container();
  const v1::ExitNotice& notice = container.native().notice();
  if (!notice.directory().empty()) {
    const absl::Status written = ReplaceFile(
        notice.directory() + "/" + instance_.config().id,
        std::to_string(container.init().exit_status()) + "\n", 0644);
    if (!written.ok()) {
      LogError("exit file, ignoring: ", Message(written));
    }
  }
  if (notice.pid() != 0) {
    const int signal =
        notice.signal() != 0 ? notice.signal() : SIGRTMIN + kNoticeSignal;
    const absl::Status sent = SignalProcess(
        notice.pid(), container.native().notice_start_time(), signal);
    if (!sent.ok()) {
      LogInfo("notify process ", notice.pid(), ", ignoring: ", Message(sent));
    }
  }
  instance_.record().mutable_container()->mutable_native()->set_noticed(true);
  instance_.Touch();
  (void)instance_.Save();  // Logged there.
}

Async<void> Keeper::StartAgain() {
  Call call;
  call.token = instance_.monitor()->NewInternalToken();
  const absl::Status started = co_await tasks_.StartAgain(call, true);
  if (!started.ok()) {
    LogError("start the container again: ", Message(started));
  }
  instance_.monitor()->ForgetToken(call.token);
}

Async<void> Keeper::Remove() {
  Call call;
  call.token = instance_.monitor()->NewInternalToken();
  const absl::Status removed = co_await tasks_.Remove(call, false);
  if (!removed.ok()) LogError("remove container: ", Message(removed));
}

Async<void> Keeper::DeleteExec(std::string exec_id) {
  Call call;
  call.token = instance_.monitor()->NewInternalToken();
  task::DeleteRequest request;
  request.set_id(instance_.config().id);
  request.set_exec_id(exec_id);
  const auto deleted = co_await tasks_.Delete(call, request);
  if (!deleted.ok() && !absl::IsNotFound(deleted.status())) {
    LogError("delete exec ", exec_id, ": ", Message(deleted.status()));
  }
  (void)instance_.Save();  // Logged there.
}

}  // namespace hydra
