// A line on a terminal that says that something takes its time, and how long.
//
// Main thread, whose loop draws it.

#ifndef HYDRA_CMD_HYDRA_PROGRESS_H_
#define HYDRA_CMD_HYDRA_PROGRESS_H_

#include <chrono>
#include <string>

#include "shim/event/event_loop.h"

namespace hydra::command {

class Progress final {
 public:
  // Appears on standard error after a second, if that is a terminal, and goes
  // with this object. `what`: "stopping web".
  Progress(EventLoop* loop, std::string what);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();
  // Makes room for something else, until it is drawn again.
  void Hide();

 private:
  void Draw();

  EventLoop* const loop_;
  const std::string what_;
  const std::chrono::steady_clock::time_point begin_;
  bool is_drawn_ = false;
  EventLoop::Registration timer_;
};

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_PROGRESS_H_
