// One upgrade of the monitor and its head: what is wanted, the trials, and how
// it goes. See "Upgrade" in link/protocol.h for the order of things.
//
// The monitor (monitor_upgrade.cc) does what concerns all of it: saving,
// executing, resuming. Loop thread only.

#ifndef HYDRA_MONITOR_UPGRADE_H_
#define HYDRA_MONITOR_UPGRADE_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/channel.h"
#include "shim/monitor/clock.h"
#include "shim/monitor/state.h"
#include "shim/monitor/trial.h"

namespace hydra::monitor {

class Upgrade {
 public:
  // What is running now.
  struct Current {
    std::string monitor;  // The path it was started from; empty: not known.
    std::string head;
    pid_t head_pid = 0;
  };
  enum class Phase : uint8_t {
    kTrying,
    kFailed,  // error() and reason() say why.
    kPassed,
    kProbation,  // The new monitor runs, the new head has not said kHello.
  };

  // For Load.
  Upgrade() = default;
  // Takes kUpgrade. Strings that are not there make an upgrade that has failed
  // with EINVAL.
  Upgrade(const link::Message& message, const Current& current);

  // Opens the new program and starts the trials, which read `state`.
  // `arguments` are the monitor's own, without its name.
  void Start(std::string_view state, const std::vector<const char*>& arguments,
             const rlimit* file_limit);
  // Takes the exit of a trial; false if the pid is none.
  bool OnExit(pid_t pid, int wait_status);
  // When OnDeadline is due; kNever while no trial runs.
  int64_t deadline() const;
  void OnDeadline();

  // Executes the new monitor in this process: with its name, --resume and
  // --previous, then `arguments`, in which --head must be new already. Returns
  // only if that fails: an errno. `fds` go along, and are close-on-exec again
  // after a failure.
  int Execute(std::string_view state, std::vector<int> fds,
              const std::vector<const char*>& arguments);

  // In the new monitor: `previous_fd` is the program before, and stays the
  // caller's. From here to Prove() the head is on probation.
  void BeginProbation(int previous_fd);
  // A head has ended before it said kHello.
  void OnHeadFailed();
  // Executes the program before, as Execute does; error() is passed on.
  int GoBack(std::string_view state, std::vector<int> fds,
             const std::vector<const char*>& arguments);

  // It has come to nothing.
  void Fail(int error, std::string reason);

  void Save(StateWriter* state) const;
  void Load(StateReader* state);

  Phase phase() const { return phase_; }
  // Failed, in the new monitor, which is to go back.
  bool must_go_back() const {
    return phase_ == Phase::kFailed && previous_monitor_.valid();
  }
  int error() const { return error_; }
  const std::string& reason() const { return reason_; }
  // The tail of the result.
  std::string Text() const;

  uint64_t token() const { return token_; }
  uint32_t step() const { return step_; }
  bool trial_only() const { return trial_only_; }
  const std::string& new_monitor() const { return new_monitor_; }
  const std::string& new_head() const { return new_head_; }
  const Current& previous() const { return previous_; }
  // The head's program before, which its path may name no more; taken once.
  UniqueFd TakePreviousHead() { return std::move(previous_head_); }
  // Between these two the monitor does nothing else.
  void SetPaused() { paused_at_ = MonotonicNow(); }
  void SetResumed() { paused_ = MonotonicNow() - paused_at_; }
  int64_t paused() const { return paused_; }

 private:
  void TakeResults();
  static int ExecuteProgram(int program, const char* mode,
                            const std::string& value, std::string_view state,
                            std::vector<int> fds,
                            const std::vector<const char*>& arguments);

  Phase phase_ = Phase::kTrying;
  uint64_t token_ = 0;
  uint32_t step_ = 0;
  bool trial_only_ = false;
  Current previous_;
  std::string new_monitor_;
  std::string new_head_;
  std::vector<std::string> head_arguments_;
  UniqueFd program_;  // new_monitor_, as it was tried.
  UniqueFd previous_monitor_;
  UniqueFd previous_head_;
  int head_failures_ = 0;
  Trial monitor_trial_;
  Trial head_trial_;
  int64_t deadline_ = kNever;
  int64_t paused_at_ = 0;  // Monotonic.
  int64_t paused_ = 0;
  int error_ = 0;
  std::string reason_;
  std::string monitor_from_;
  std::string monitor_to_;
  std::string head_from_;
  std::string head_to_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_UPGRADE_H_
