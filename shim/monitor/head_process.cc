#include "shim/monitor/head_process.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "shim/link/protocol.h"
#include "shim/monitor/log.h"
#include "shim/monitor/spawn.h"

namespace hydra::monitor {
namespace {

constexpr int64_t kLongLife = kSecond;
constexpr int64_t kShortestDelay = 10 * kMillisecond;
constexpr int64_t kLongestDelay = kSecond;
constexpr EventTag kTag = {EventKind::kLink};

}  // namespace

bool HeadProcess::Spawn() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
    LogError("socketpair for the head: %s", ErrorName(errno));
    return false;
  }
  link_.Reset(pair[0]);
  const UniqueFd other(pair[1]);
  int error = poller_->Add(link_.get(), EPOLLIN, kTag);
  if (error == 0) {
    SpawnArgs args;
    args.argv = argv_;
    args.fds = {{other.get(), link::kLinkFd}, {STDERR_FILENO, STDERR_FILENO}};
    args.file_limit = child_file_limit_;
    error = SpawnProcess(args, &pid_);
  }
  if (error != 0) {
    LogError("start head %s: %s", argv_[0], ErrorName(error));
    CloseLink();
    return false;
  }
  return true;
}

void HeadProcess::Start() {
  started_ = MonotonicNow();
  if (!Spawn()) {
    PlanStart();
    return;
  }
  Begin();
}

int HeadProcess::Adopt(pid_t pid, UniqueFd link) {
  const int error = poller_->Add(link.get(), EPOLLIN, kTag);
  if (error != 0) return error;
  started_ = MonotonicNow();
  pid_ = pid;
  link_ = std::move(link);
  Begin();
  return 0;
}

void HeadProcess::Begin() {
  ++generation_;
  misbehaved_ = false;
  resting_ = false;
  woken_ = false;
  state_ = HeadState::kUnknown;
}

int64_t HeadProcess::next_start() const {
  return state_ == HeadState::kDown ? next_start_ : kNever;
}

link::Reader::Result HeadProcess::Next(link::Message* message) {
  if (!link_.valid()) return link::Reader::Result::kAgain;
  return reader_.Next(link_.get(), message);
}

bool HeadProcess::Flush() {
  if (!link_.valid()) return true;
  const size_t before = writer_.size();
  const bool open = writer_.Flush(link_.get());
  taken_ += before - writer_.size();
  if (!open) return false;
  if (waits_for_room_ == writer_.empty()) {
    waits_for_room_ = !waits_for_room_;
    const uint32_t events = waits_for_room_ ? EPOLLIN | EPOLLOUT : EPOLLIN;
    poller_->Modify(link_.get(), events, kTag);
  }
  return true;
}

void HeadProcess::CloseLink() {
  if (link_.valid()) poller_->Remove(link_.get());
  link_.Reset();
  reader_ = link::Reader();
  writer_.Clear();
  waits_for_room_ = false;
}

void HeadProcess::Kill(const char* reason) {
  if (state_ != HeadState::kUnknown && state_ != HeadState::kReady) return;
  LogWarning("head %d: %s, killing it", pid_, reason);
  kill(pid_, SIGKILL);
  CloseLink();
  state_ = HeadState::kDying;
}

void HeadProcess::KillMisbehaved(const char* reason) {
  Kill(reason);
  misbehaved_ = true;
}

void HeadProcess::LetEnd() {
  CloseLink();
  if (state_ != HeadState::kLeaving) state_ = HeadState::kDying;
}

void HeadProcess::Rest() {
  CloseLink();
  state_ = HeadState::kDying;
  resting_ = true;
}

void HeadProcess::Wake() {
  if (!resting_ || woken_) return;
  woken_ = true;
  if (state_ == HeadState::kDown) {
    next_start_ = MonotonicNow();
  } else {
    // It has nothing left to do, and somebody waits.
    kill(pid_, SIGKILL);
  }
}

bool HeadProcess::HasCrashed(int wait_status) const {
  if (misbehaved_) return true;
  return WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) != SIGKILL
                                  : WEXITSTATUS(wait_status) != 0;
}

void HeadProcess::OnReaped(int wait_status) {
  if (resting_) {
    pid_ = 0;
    taken_ = 0;
    state_ = HeadState::kDown;
    died_at_ = 0;
    next_start_ = woken_ ? MonotonicNow() : kNever;
    return;
  }
  died_at_ = UnixNow();
  const bool replaced = state_ == HeadState::kLeaving;
  if (!replaced) ++deaths_;
  if (replaced) {
    LogInfo("head %d was replaced", pid_);
  } else if (WIFSIGNALED(wait_status)) {
    LogWarning("head %d ended by signal %d", pid_, WTERMSIG(wait_status));
  } else {
    LogWarning("head %d ended with status %d", pid_, WEXITSTATUS(wait_status));
  }
  CloseLink();
  taken_ = 0;
  pid_ = 0;
  state_ = HeadState::kDown;
  if (replaced) started_ = 0;
  PlanStart();
}

void HeadProcess::Save(StateWriter* state) const {
  state->Number(static_cast<uint64_t>(state_));
  state->Signed(pid_);
  state->Fd(link_);
  state->Bytes(reader_.buffered());
  state->BeginList();
  for (const UniqueFd& fd : reader_.buffered_fds()) {
    state->BeginRecord();
    state->Fd(fd);
    state->EndRecord();
  }
  state->EndList();
  state->Number(generation_);
  state->Number(deaths_);
  state->Signed(died_at_);
  state->Signed(started_);
}

void HeadProcess::Load(StateReader* state) {
  state_ = state->As<HeadState>();
  pid_ = state->As<pid_t>();
  link_ = state->Fd();
  const std::string_view buffered = state->Bytes();
  std::deque<UniqueFd> fds;
  state->BeginList();
  while (state->BeginRecord()) {
    fds.push_back(state->Fd());
    state->EndRecord();
  }
  state->EndList();
  reader_.Restore(buffered, std::move(fds));
  generation_ = state->Number();
  deaths_ = state->Number();
  died_at_ = state->Signed();
  started_ = state->Signed();
}

void HeadProcess::Replace() {
  resting_ = false;
  woken_ = false;
  if (pid_ <= 0) {
    state_ = HeadState::kDown;
    next_start_ = 0;
    return;
  }
  kill(pid_, SIGKILL);
  if (state_ == HeadState::kReady) {
    state_ = HeadState::kLeaving;
  } else {
    CloseLink();
    state_ = HeadState::kDying;
  }
}

void HeadProcess::PlanStart() {
  const int64_t now = MonotonicNow();
  if (now - started_ > kLongLife) {
    delay_ = 0;
    next_start_ = now;
    return;
  }
  delay_ = std::clamp(delay_ * 2, kShortestDelay, kLongestDelay);
  next_start_ = now + delay_;
}

}  // namespace hydra::monitor
