#include "shim/monitor/processes.h"

#include <errno.h>
#include <sys/wait.h>

#include "shim/monitor/clock.h"
#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

using link::Type;

// Whether `pid` is a child of ours that nobody has reaped.
bool IsChild(pid_t pid) {
  siginfo_t info = {};
  return pid > 0 && waitid(P_PID, static_cast<id_t>(pid), &info,
                           WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

void Processes::Claim(const link::Claim& claim, link::Writer* head) {
  if (claim.process == 0) return;
  const auto found = claimed_.find(claim.process);
  if (found != claimed_.end()) {
    if (found->second.exited) TellExit(claim.process, found->second, head);
    return;
  }
  Claimed claimed;
  claimed.pid = claim.pid;
  Unclaimed exit;
  // A child that lives is meant before a kept exit of the same pid: that one
  // may be of another process, long gone, whose pid came round again.
  if (IsChild(claim.pid)) {
    claimed_[claim.process] = claimed;
    return;
  }
  if (TakeUnclaimed(claim.pid, &exit)) {
    claimed.exited = true;
    claimed.wait_status = exit.wait_status;
    claimed.exited_at = exit.exited_at;
    claimed_[claim.process] = claimed;
    RecordExit(claim.process, claimed);
  } else {
    claimed.wait_status = link::kNoSuchChild;
    claimed.exited_at = UnixNow();
  }
  TellExit(claim.process, claimed, head);
}

void Processes::Forget(uint64_t process) {
  claimed_.erase(process);
  const int error = exit_file_->Forget(process);
  if (error != 0) {
    LogWarning("free exit record of process %llu, ignoring: %s",
               static_cast<unsigned long long>(process), ErrorName(error));
  }
}

int Processes::FindLive(uint64_t process, pid_t* pid) const {
  const auto found = claimed_.find(process);
  if (found == claimed_.end()) return ENOENT;
  if (found->second.exited) return ESRCH;
  *pid = found->second.pid;
  return 0;
}

bool Processes::OnExit(pid_t pid, int wait_status, int64_t exited_at,
                       link::Writer* head) {
  bool found = false;
  for (auto& [process, claimed] : claimed_) {
    if (claimed.pid != pid || claimed.exited) continue;
    claimed.exited = true;
    claimed.wait_status = wait_status;
    claimed.exited_at = exited_at;
    RecordExit(process, claimed);
    if (head != nullptr) TellExit(process, claimed, head);
    found = true;
  }
  return found;
}

void Processes::RecordExit(uint64_t process, const Claimed& claimed) {
  const int error = exit_file_->Record(
      {process, claimed.pid, claimed.wait_status, claimed.exited_at});
  if (error != 0) {
    LogError("record exit of pid %d, ignoring: %s", claimed.pid,
             ErrorName(error));
  }
}

void Processes::TellExit(uint64_t process, const Claimed& claimed,
                         link::Writer* head) {
  link::Exit exit = {};
  exit.process = process;
  exit.pid = claimed.pid;
  exit.wait_status = claimed.wait_status;
  exit.exited_at = claimed.exited_at;
  head->Add(Type::kExit, 0, 0, exit);
}

bool Processes::TakeUnclaimed(pid_t pid, Unclaimed* exit) {
  // The newest one, should the pid have come round.
  for (size_t i = unclaimed_.size(); i-- > 0;) {
    if (unclaimed_[i].pid != pid) continue;
    *exit = unclaimed_[i];
    unclaimed_.erase(unclaimed_.begin() + static_cast<ptrdiff_t>(i));
    return true;
  }
  return false;
}

void Processes::KeepUnclaimed(pid_t pid, int wait_status, int64_t exited_at) {
  if (unclaimed_.size() == kMaxUnclaimed) {
    unclaimed_.erase(unclaimed_.begin(),
                     unclaimed_.begin() + kMaxUnclaimed / 4);
  }
  unclaimed_.push_back({pid, wait_status, exited_at});
}

void Processes::DropUnclaimed() {
  if (!unclaimed_.empty()) std::vector<Unclaimed>().swap(unclaimed_);
}

void Processes::Save(StateWriter* state) const {
  state->BeginList();
  for (const auto& [process, claimed] : claimed_) {
    state->BeginRecord();
    state->Number(process);
    state->Signed(claimed.pid);
    state->Number(claimed.exited);
    state->Signed(claimed.wait_status);
    state->Signed(claimed.exited_at);
    state->EndRecord();
  }
  state->EndList();
  state->BeginList();
  for (const Unclaimed& exit : unclaimed_) {
    state->BeginRecord();
    state->Signed(exit.pid);
    state->Signed(exit.wait_status);
    state->Signed(exit.exited_at);
    state->EndRecord();
  }
  state->EndList();
}

void Processes::Load(StateReader* state) {
  state->BeginList();
  while (state->BeginRecord()) {
    Claimed& claimed = claimed_[state->Number()];
    claimed.pid = state->As<pid_t>();
    claimed.exited = state->Number() != 0;
    claimed.wait_status = state->As<int32_t>();
    claimed.exited_at = state->Signed();
    state->EndRecord();
  }
  state->EndList();
  state->BeginList();
  while (state->BeginRecord()) {
    Unclaimed exit;
    exit.pid = state->As<pid_t>();
    exit.wait_status = state->As<int32_t>();
    exit.exited_at = state->Signed();
    unclaimed_.push_back(exit);
    state->EndRecord();
  }
  state->EndList();
}

void Processes::Replay(link::Writer* head) const {
  for (const auto& [process, claimed] : claimed_) {
    link::Process body = {};
    body.process = process;
    body.pid = claimed.pid;
    body.exited = claimed.exited ? 1 : 0;
    head->Add(Type::kProcess, 0, 0, body);
    if (claimed.exited) TellExit(process, claimed, head);
  }
}

}  // namespace hydra::monitor
