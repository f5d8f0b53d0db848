// What makes a plain process a supervisor, once, before anything else.

#ifndef HYDRA_MONITOR_PROCESS_H_
#define HYDRA_MONITOR_PROCESS_H_

namespace hydra::monitor {

// A session of its own, the name hydra-monitor, no inherited descriptor from
// `first_unwanted_fd` on, the ones below close-on-exec (and 0 to 2 open), no
// NOTIFY_SOCKET (it was the engine's), and a heap that gives back what a
// large frame took. None of it can fail in a way that matters.
void PrepareProcess(int first_unwanted_fd);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_PROCESS_H_
