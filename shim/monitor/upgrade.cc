#include "shim/monitor/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "shim/base/version.h"
#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

// A trial takes milliseconds; more on a machine where all are upgraded at once.
constexpr int64_t kTrialLimit = 10 * kSecond;
// A head says kHello after some ten milliseconds.
constexpr int64_t kProbationLimit = 10 * kSecond;
constexpr int kMaxHeadFailures = 3;
// Above every target of a child.
constexpr int kProgramFd = 16;

// False if there is none.
bool TakeString(std::string_view* tail, std::string* to) {
  const size_t end = tail->find('\0');
  if (end == tail->npos) return false;
  *to = tail->substr(0, end);
  tail->remove_prefix(end + 1);
  return true;
}

int SetCloseOnExec(const std::vector<int>& fds, bool on) {
  for (const int fd : fds) {
    if (fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0) return errno;
  }
  return 0;
}

}  // namespace

Upgrade::Upgrade(const link::Message& message, const Current& current)
    : token_(message.header.token),
      step_(message.header.step),
      previous_(current),
      monitor_from_(Version()) {
  const auto body = message.Body<link::Upgrade>();
  trial_only_ = (body.flags & link::kUpgradeTrialOnly) != 0;
  std::string_view tail = message.tail();
  bool whole = TakeString(&tail, &new_monitor_) &&
               TakeString(&tail, &new_head_) && TakeString(&tail, &head_from_);
  for (uint32_t i = 0; whole && i < body.argument_count; ++i) {
    whole = TakeString(&tail, &head_arguments_.emplace_back());
  }
  if (new_monitor_.empty()) new_monitor_ = previous_.monitor;
  if (new_head_.empty()) new_head_ = previous_.head;
  if (!whole || !tail.empty()) {
    Fail(EINVAL, "the request makes no sense");
  } else if (new_monitor_.empty()) {
    Fail(ENOENT, "where the monitor was started from is not known");
  }
}

void Upgrade::Fail(int error, std::string reason) {
  phase_ = Phase::kFailed;
  error_ = error;
  reason_ = std::move(reason);
  deadline_ = kNever;
}

void Upgrade::Start(std::string_view state,
                    const std::vector<const char*>& arguments,
                    const rlimit* file_limit) {
  // Opened once, so that what is executed is what was tried.
  const UniqueFd opened(open(new_monitor_.c_str(), O_RDONLY | O_CLOEXEC));
  if (opened.valid()) {
    program_.Reset(fcntl(opened.get(), F_DUPFD_CLOEXEC, kProgramFd));
  }
  if (!program_.valid()) {
    const int error = errno;
    Fail(error, "open " + new_monitor_ + ": " + ErrorName(error));
    return;
  }
  const UniqueFd file = MakeStateFile(state);
  if (!file.valid()) {
    Fail(errno, std::string("write state: ") + ErrorName(errno));
    return;
  }
  const std::string exe =
      "/proc/" + std::to_string(previous_.head_pid) + "/exe";
  const UniqueFd head(open(exe.c_str(), O_RDONLY | O_CLOEXEC));
  if (head.valid()) {
    previous_head_.Reset(fcntl(head.get(), F_DUPFD_CLOEXEC, kProgramFd));
  }
  const std::string path = "/proc/self/fd/" + std::to_string(program_.get());
  const std::string number = std::to_string(Trial::kStateFd);
  std::vector<const char*> argv = {path.c_str(), "--check-state",
                                   number.c_str()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  int error = monitor_trial_.Start(argv, file.get(), file_limit);
  if (error != 0) {
    Fail(error, "execute " + new_monitor_ + ": " + ErrorName(error));
    return;
  }
  argv = {new_head_.c_str()};
  for (const std::string& word : head_arguments_) argv.push_back(word.c_str());
  error = head_trial_.Start(argv, -1, file_limit);
  if (error != 0) {
    Fail(error, "execute " + new_head_ + ": " + ErrorName(error));
    return;
  }
  deadline_ = MonotonicNow() + kTrialLimit;
}

bool Upgrade::OnExit(pid_t pid, int wait_status) {
  if (!monitor_trial_.OnExit(pid, wait_status) &&
      !head_trial_.OnExit(pid, wait_status)) {
    return false;
  }
  if (phase_ == Phase::kTrying && !monitor_trial_.running() &&
      !head_trial_.running()) {
    TakeResults();
  }
  return true;
}

void Upgrade::TakeResults() {
  deadline_ = kNever;
  std::string text;
  int error = monitor_trial_.Result(&text);
  if (error != 0) {
    Fail(error, "trial of " + new_monitor_ + ": " + text);
    return;
  }
  monitor_to_ = text;
  error = head_trial_.Result(&text);
  if (error != 0) {
    Fail(error, "trial of " + new_head_ + ": " + text);
    return;
  }
  head_to_ = text;
  phase_ = Phase::kPassed;
}

int64_t Upgrade::deadline() const { return deadline_; }

void Upgrade::BeginProbation(int previous_fd) {
  phase_ = Phase::kProbation;
  previous_monitor_.Reset(fcntl(previous_fd, F_DUPFD_CLOEXEC, kProgramFd));
  deadline_ = MonotonicNow() + kProbationLimit;
}

void Upgrade::OnHeadFailed() {
  if (phase_ == Phase::kProbation && ++head_failures_ == kMaxHeadFailures) {
    Fail(EPROTO, new_head_ + " does not serve: it ended " +
                     std::to_string(kMaxHeadFailures) + " times");
  }
}

void Upgrade::OnDeadline() {
  if (phase_ == Phase::kProbation) {
    Fail(ETIMEDOUT, new_head_ + " does not serve: no sign of it in " +
                        std::to_string(kProbationLimit / kSecond) + " s");
    return;
  }
  const std::string& which =
      monitor_trial_.running() ? new_monitor_ : new_head_;
  Fail(ETIMEDOUT, "trial of " + which + ": no answer in " +
                      std::to_string(kTrialLimit / kSecond) + " s");
}

int Upgrade::Execute(std::string_view state, std::vector<int> fds,
                     const std::vector<const char*>& arguments) {
  // The way back; the file itself may be replaced already.
  const UniqueFd self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self.valid()) return errno;
  fds.push_back(self.get());
  return ExecuteProgram(program_.get(), "--previous",
                        std::to_string(self.get()), state, std::move(fds),
                        arguments);
}

int Upgrade::GoBack(std::string_view state, std::vector<int> fds,
                    const std::vector<const char*>& arguments) {
  return ExecuteProgram(previous_monitor_.get(), "--failed",
                        std::to_string(error_), state, std::move(fds),
                        arguments);
}

int Upgrade::ExecuteProgram(int program, const char* mode,
                            const std::string& value, std::string_view state,
                            std::vector<int> fds,
                            const std::vector<const char*>& arguments) {
  const UniqueFd file = MakeStateFile(state);
  if (!file.valid()) return errno;
  fds.push_back(file.get());
  const std::string file_number = std::to_string(file.get());
  std::vector<char*> argv;
  for (const char* word : {"hydra-monitor", "--resume", file_number.c_str(),
                           mode, value.c_str()}) {
    argv.push_back(const_cast<char*>(word));
  }
  for (const char* word : arguments) argv.push_back(const_cast<char*>(word));
  argv.push_back(nullptr);
  int error = SetCloseOnExec(fds, false);
  if (error == 0) {
    execveat(program, "", argv.data(), environ, AT_EMPTY_PATH);
    error = errno;
  }
  SetCloseOnExec(fds, true);
  return error;
}

void Upgrade::Save(StateWriter* state) const {
  state->Number(token_);
  state->Number(step_);
  state->Signed(paused_at_);
  state->Bytes(previous_.monitor);
  state->Bytes(previous_.head);
  state->Bytes(new_monitor_);
  state->Bytes(new_head_);
  state->Bytes(monitor_from_);
  state->Bytes(monitor_to_);
  state->Bytes(head_from_);
  state->Bytes(head_to_);
  state->Fd(previous_head_);
  state->Bytes(reason_);
}

void Upgrade::Load(StateReader* state) {
  phase_ = Phase::kPassed;
  token_ = state->Number();
  step_ = state->As<uint32_t>();
  paused_at_ = state->Signed();
  previous_.monitor = state->Bytes();
  previous_.head = state->Bytes();
  new_monitor_ = state->Bytes();
  new_head_ = state->Bytes();
  monitor_from_ = state->Bytes();
  monitor_to_ = state->Bytes();
  head_from_ = state->Bytes();
  head_to_ = state->Bytes();
  previous_head_ = state->Fd();
  reason_ = state->Bytes();
}

std::string Upgrade::Text() const {
  std::string text;
  for (const std::string* part :
       {&monitor_from_, &monitor_to_, &head_from_, &head_to_, &reason_}) {
    text.append(*part).push_back('\0');
  }
  return text;
}

}  // namespace hydra::monitor
