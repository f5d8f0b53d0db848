// A trial run of a program that is about to take somebody's place.
//
// The program is to say "ok VERSION" in its first line and to exit with 0.
// What it says goes into a memory file of fixed size, so that nothing has to
// be read while it runs. Loop thread only.

#ifndef HYDRA_MONITOR_TRIAL_H_
#define HYDRA_MONITOR_TRIAL_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "shim/base/unique_fd.h"

namespace hydra::monitor {

class Trial {
 public:
  // The number under which a trial gets `state_fd`.
  static constexpr int kStateFd = 3;

  Trial() = default;
  // Kills it, if it runs; the loop reaps it.
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // 0, or the errno of what it takes to start it. `state_fd` may be -1.
  int Start(const std::vector<const char*>& argv, int state_fd,
            const rlimit* file_limit);

  // Takes the exit of `pid`; false if it is another's.
  bool OnExit(pid_t pid, int wait_status);
  bool running() const { return pid_ > 0; }

  // Once it has ended: 0, with *text the version; EPROTO, with *text how it
  // ended and what it said.
  int Result(std::string* text) const;

 private:
  pid_t pid_ = 0;
  int wait_status_ = 0;
  UniqueFd output_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_TRIAL_H_
