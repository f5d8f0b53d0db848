// The head as a process: started, listened to, started again when it dies.
//
// What is said over the link is the caller's (monitor.h). Loop thread only.
//
//   kDown ──start──> kUnknown ──kHello──> kReady
//     ^                 │                   │  the link breaks: SIGKILL
//     └──── reaped ─────┴──── kDying <──────┘  Rest: the link is closed
//
// After an upgrade of the monitor a head that was kReady is kLeaving.

#ifndef HYDRA_MONITOR_HEAD_PROCESS_H_
#define HYDRA_MONITOR_HEAD_PROCESS_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/channel.h"
#include "shim/monitor/clock.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

enum class HeadState : uint8_t {
  kDown,     // No process; next_start() says when there will be one.
  kUnknown,  // It has not said kHello.
  kReady,    // It may be told things.
  kDying,    // Killed or resting, and not reaped yet.
  kLeaving,  // Killed, but what it has said still counts.
};

class HeadProcess {
 public:
  // `argv` is the head's binary and its arguments. All must outlive this.
  HeadProcess(Poller* poller, std::vector<const char*> argv,
              const rlimit* child_file_limit)
      : poller_(poller),
        argv_(std::move(argv)),
        child_file_limit_(child_file_limit) {}

  // Starts it. If that fails, it is tried again after the back-off.
  void Start();
  // Instead of the first Start: it is running, as child `pid` of this process
  // with `link` to it. It may have ended. 0, or an errno.
  int Adopt(pid_t pid, UniqueFd link);
  // When to call Start, on the monotonic clock; kNever unless kDown.
  int64_t next_start() const;

  // The next message, as Reader::Next. Ends with kAgain while there is none.
  link::Reader::Result Next(link::Message* message);

  // kHello has come: from now on output() takes messages.
  void SetReady() { state_ = HeadState::kReady; }

  // Where messages for it go; null unless kReady. They are sent by Flush. One
  // that is kLeaving is answered as well, and never gets it.
  link::Writer* output() {
    return state_ == HeadState::kReady || state_ == HeadState::kLeaving
               ? &writer_
               : nullptr;
  }

  // Sends what the socket takes. False if the link is broken.
  bool Flush();

  // The count of bytes that this head's socket has taken, and the same once
  // everything in output() has gone.
  uint64_t bytes_taken() const { return taken_; }
  uint64_t bytes_promised() const { return taken_ + writer_.size(); }

  // Breaks with it: kills it and closes the link. Reaping is still to come.
  void Kill(const char* reason);
  // The same, for what it said: it counts as crashed.
  void KillMisbehaved(const char* reason);

  // It has closed the link, as it should, and is about to end.
  void LetEnd();

  // It is to end by itself, and none is started before Wake.
  void Rest();
  // There is something to do. Without a Rest before it does nothing.
  void Wake();

  // Messages for this head, sent or not.
  uint64_t messages() const { return writer_.messages(); }

  // Whether one that ended so did by a fault of its own: not by leaving, and
  // not by SIGKILL of somebody else (an operator, the OOM killer).
  bool HasCrashed(int wait_status) const;

  // It has been reaped: closes the link and plans the next start. A head that
  // lived for longer than a second is started again at once; one that dies
  // sooner after 10 ms, then twice as long each time, at most a second; one
  // that rested with Wake.
  void OnReaped(int wait_status);

  // What is waiting for it is not saved: its successor is told all anew.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // After Load: kills it, so that the next one is of the version installed now.
  void Replace();
  // The program of the heads to come. Must outlive this.
  void SetProgram(const char* path) { argv_[0] = path; }

  HeadState state() const { return state_; }
  pid_t pid() const { return pid_; }
  uint64_t generation() const { return generation_; }
  // Unix time of the death of the head before; 0 if there was none, or it
  // rested.
  int64_t died_at() const { return died_at_; }
  uint64_t deaths() const { return deaths_; }

 private:
  void CloseLink();
  void PlanStart();
  bool Spawn();
  void Begin();

  Poller* poller_;
  std::vector<const char*> argv_;
  const rlimit* child_file_limit_;

  HeadState state_ = HeadState::kDown;
  pid_t pid_ = 0;
  UniqueFd link_;
  link::Reader reader_;
  link::Writer writer_;
  bool waits_for_room_ = false;  // EPOLLOUT is asked for.
  bool misbehaved_ = false;
  bool resting_ = false;  // From Rest to the next start.
  bool woken_ = false;    // The same, of Wake.
  uint64_t taken_ = 0;

  uint64_t generation_ = 0;
  uint64_t deaths_ = 0;
  int64_t died_at_ = 0;
  int64_t started_ = 0;  // Monotonic.
  int64_t next_start_ = 0;
  int64_t delay_ = 0;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_HEAD_PROCESS_H_
