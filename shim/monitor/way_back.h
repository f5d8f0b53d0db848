// The way back to the program before, for a monitor that is taking over.
//
// Armed, it executes that program again, with the same state, when we crash or
// take too long; Take does it at once. Only once: the program that has come
// back has no way back itself. There is one of it in a process, because a
// signal handler has no object.

#ifndef HYDRA_MONITOR_WAY_BACK_H_
#define HYDRA_MONITOR_WAY_BACK_H_

#include <vector>

namespace hydra::monitor {

class WayBack {
 public:
  // `previous_fd` is the program, -1 if there is no way back; `arguments` are
  // the monitor's own, without its name. They must outlive this.
  static void Prepare(int state_fd, int previous_fd,
                      const std::vector<const char*>& arguments);
  // To be called again after a change of signal handlers.
  static void Arm();
  static void Disarm();
  // Executes it, with --failed `error`. Returns if there is none.
  static void Take(int error);
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_WAY_BACK_H_
