// What a monitor is executed with, beside its arguments (cmd/hydra-monitor).

#ifndef HYDRA_MONITOR_START_H_
#define HYDRA_MONITOR_START_H_

namespace hydra::monitor {

// The listening socket.
inline constexpr int kListenFd = 3;
// A pipe that takes one NUL byte once the socket is served, or the text of an
// error.
inline constexpr int kReadyFd = 4;
// With --head-pid: the monitor's end of the link to that head.
inline constexpr int kHeadFd = 5;

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_START_H_
