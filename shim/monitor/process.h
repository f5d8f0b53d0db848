// What makes a plain process a supervisor, before anything else.

#ifndef HYDRA_MONITOR_PROCESS_H_
#define HYDRA_MONITOR_PROCESS_H_

#include <string>

namespace hydra::monitor {

// No inherited descriptor from `first_unwanted_fd` on, the ones below
// close-on-exec, and 0 to 2 open. Not for a monitor that takes over: it has
// inherited what it needs.
void PrepareDescriptors(int first_unwanted_fd);

// Nothing from `first_fd` on stays open in a program that is executed.
void CloseOnExecFrom(int first_fd);

// A session of its own, the name hydra-monitor, no NOTIFY_SOCKET (it was the
// engine's), and a heap that gives back what a large frame took. None of it can
// fail in a way that matters.
void PrepareProcess();

// The path that this program was started from; empty if it cannot be told. To
// be called early: the file may be replaced.
std::string OwnProgram();

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_PROCESS_H_
