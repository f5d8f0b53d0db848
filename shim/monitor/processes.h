// The claimed processes of the container, their exits, and the exits that are
// kept in case that somebody claims them. See "The life of a process" in
// link/protocol.h.
//
// Loop thread only. Only the loop reaps (waitpid(2)), so the pid of a process
// that has not exited here cannot be another's.

#ifndef HYDRA_MONITOR_PROCESSES_H_
#define HYDRA_MONITOR_PROCESSES_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "shim/link/channel.h"
#include "shim/link/protocol.h"
#include "shim/monitor/exit_file.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Processes {
 public:
  // `exit_file` must outlive this.
  explicit Processes(ExitFile* exit_file) : exit_file_(exit_file) {}

  // kClaim. Known already: its exit is told again, if there is one.
  void Claim(const link::Claim& claim, link::Writer* head);

  // kForgetProcess.
  void Forget(uint64_t process);

  // 0 and the pid of a process that has not been reaped; ESRCH if it has,
  // ENOENT if it was never claimed.
  int FindLive(uint64_t process, pid_t* pid) const;

  // Takes the exit of `pid`; false if it is not claimed. It is in the exit
  // file before `head`, which may be null, is told.
  bool OnExit(pid_t pid, int wait_status, int64_t exited_at,
              link::Writer* head);

  // Keeps the exit of a pid that may yet be claimed: the last kMaxUnclaimed.
  void KeepUnclaimed(pid_t pid, int wait_status, int64_t exited_at);
  void DropUnclaimed();

  void Save(StateWriter* state) const;
  void Load(StateReader* state);

  // Everything known, for a new head.
  void Replay(link::Writer* head) const;

  size_t size() const { return claimed_.size(); }
  size_t unclaimed() const { return unclaimed_.size(); }

  static constexpr size_t kMaxUnclaimed = 4096;

 private:
  struct Claimed {
    pid_t pid = 0;
    bool exited = false;
    int32_t wait_status = 0;
    int64_t exited_at = 0;
  };
  struct Unclaimed {
    pid_t pid;
    int32_t wait_status;
    int64_t exited_at;
  };

  // Takes the exit kept for `pid`; false if there is none.
  bool TakeUnclaimed(pid_t pid, Unclaimed* exit);
  void RecordExit(uint64_t process, const Claimed& claimed);
  static void TellExit(uint64_t process, const Claimed& claimed,
                       link::Writer* head);

  ExitFile* exit_file_;
  std::map<uint64_t, Claimed> claimed_;
  std::vector<Unclaimed> unclaimed_;  // Oldest first.
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_PROCESSES_H_
