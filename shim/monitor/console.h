// Takes the pty master that the OCI runtime sends over the console socket.
//
// runc connects to the socket named by --console-socket and sends one message:
// a name, and the master as its only descriptor (SCM_RIGHTS). Loop thread only.

#ifndef HYDRA_MONITOR_CONSOLE_H_
#define HYDRA_MONITOR_CONSOLE_H_

#include <cstdint>

#include "shim/base/unique_fd.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class ConsoleReceiver {
 public:
  ~ConsoleReceiver() { Stop(); }

  // Takes the listening socket and waits for events under `tag`. 0 or an
  // errno.
  int Start(Poller* poller, EventTag tag, UniqueFd listener);

  // Goes as far as it can without waiting. The master, non-blocking, once it
  // has come; then the sockets are closed. A connection that sends anything
  // else is closed, and the next one is waited for.
  UniqueFd Receive();

  void Stop();

  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // Waits again after Load, if it did before. 0 or an errno.
  int Resume(Poller* poller, EventTag tag);

 private:
  void CloseConnection();

  Poller* poller_ = nullptr;
  EventTag tag_ = {};
  UniqueFd listener_;
  UniqueFd connection_;
};

// Sets the terminal's size. 0 or an errno.
int ResizeConsole(int master, uint16_t rows, uint16_t columns);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_CONSOLE_H_
