// Finding an instance's monitor, to wait for its end or to end it.
//
// `start` writes monitor.pid: "<pid> <start time> <boot id>\n", in every
// version: what a later one has to add goes into another file. The start time
// (proc(5), /proc/pid/stat, field 22) tells the monitor from a later process
// with its pid; it stays the same over the monitor's execve(2) of a successor.
// The socket cannot tell it: SO_PEERCRED of a client names who called
// listen(2), which was `start`.
//
// One thread. Signals go through a pidfd that is opened before the start time
// is compared, so they never meet another process.

#ifndef HYDRA_CMD_SHIM_MONITOR_REF_H_
#define HYDRA_CMD_SHIM_MONITOR_REF_H_

#include <sys/types.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra {

class MonitorRef final {
 public:
  // Writes the file for `pid`, which the caller has not reaped yet. An
  // errno's status.
  static absl::Status Save(const std::string& path, pid_t pid);

  // The monitor that the file names. NotFound: no file, or that process has
  // ended. DataLoss, naming the file: it is not what Save writes.
  static absl::StatusOr<MonitorRef> Open(const std::string& path);

  pid_t pid() const { return pid_; }

  // Whether it ended within `timeout`.
  bool WaitForEnd(std::chrono::milliseconds timeout) const;

  // Kills it, and then its children, whatever they are: without it nobody
  // would feed, reap or end them. It is stopped first, so that it starts no
  // head while its children are counted. OK if all are gone within `timeout`,
  // DeadlineExceeded if not.
  absl::Status KillWithChildren(std::chrono::milliseconds timeout) const;

 private:
  MonitorRef(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  pid_t pid_;
  UniqueFd pidfd_;
};

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_MONITOR_REF_H_
