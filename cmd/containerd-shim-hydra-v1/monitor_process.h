// Starting hydra-monitor, and taking it back if `start` fails after all.
//
// Single-threaded.

#ifndef HYDRA_CMD_SHIM_MONITOR_PROCESS_H_
#define HYDRA_CMD_SHIM_MONITOR_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra {

// The program, then its arguments and environment.
struct MonitorCommand {
  std::string path;                    // Has a slash, or is looked up in PATH.
  std::vector<std::string> arguments;  // With argv[0].
  std::vector<std::string> environment;
  // The head's, with its path; what `arguments` ends with.
  std::vector<std::string> head;
  std::string directory;  // The instance's.
};

// For as long a monitor is waited for that was executed and does not serve yet.
inline constexpr std::chrono::seconds kReadyTimeout{5};

// Waits for what a monitor says on the pipe that it reports on: true, that it
// serves; false if it closes the pipe without a word. Unknown: what it says;
// DeadlineExceeded; otherwise the errors of poll(2) and read(2).
absl::StatusOr<bool> AwaitReport(int report_fd,
                                 std::chrono::milliseconds timeout);

// A child of ours until this process ends; from then on init's. Ending it is
// ours too, until Release.
class MonitorProcess final {
 public:
  // The monitor leads a session of its own, and has these descriptors and no
  // other: 0 and 1 /dev/null, 2 `log_fd` (/dev/null if negative), 3
  // `listener_fd`, 4 the pipe that it reports on, 5 the link to the head, which
  // is started with it: it takes as long to load, and a request needs both.
  // Default signal dispositions, an empty mask. One fork is enough: no engine
  // will be its ancestor, because it is orphaned when `start` exits. The error
  // of SpawnProcess, naming the program.
  static absl::StatusOr<MonitorProcess> Spawn(MonitorCommand command,
                                              int listener_fd, int log_fd);

  MonitorProcess(MonitorProcess&& other) noexcept;
  MonitorProcess& operator=(MonitorProcess&&) = delete;
  // Kills and reaps it, unless it was released.
  ~MonitorProcess();

  pid_t pid() const { return pid_; }

  // Waits until it serves. As AwaitReport; Unknown, with how it ended, if it
  // says nothing.
  absl::Status WaitUntilReady(std::chrono::milliseconds timeout);

  // It stays when this object goes.
  void Release() { pid_ = -1; }

 private:
  MonitorProcess(pid_t pid, UniqueFd ready)
      : pid_(pid), ready_(std::move(ready)) {}

  pid_t pid_;
  UniqueFd ready_;
};

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_MONITOR_PROCESS_H_
