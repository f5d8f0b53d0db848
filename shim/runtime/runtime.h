// The OCI runtime's command line, for one container: an operation in, a Status
// out.
//
// Every run is an operation of the monitor, named by its key (see
// link/protocol.h): awaited again by a successor under the same key it gives
// the result of the first run. Loop thread only.
//
// Errors have the text that containerd's users know:
//   "<what> failed: <the runtime's last logged error>", or, when it logged
//   none, "<what> failed: <binary> did not terminate successfully: exit status
//   N: <output>"; code Unknown. A run that passes its deadline is killed, and
//   the error is DeadlineExceeded and says so.

#ifndef HYDRA_RUNTIME_RUNTIME_H_
#define HYDRA_RUNTIME_RUNTIME_H_

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "containerd/runc/v1/options.pb.h"
#include "shim/event/async.h"
#include "shim/link/client.h"

namespace hydra {

// How a process of the container gets its standard streams.
struct ProcessStdio {
  // (number in the container, our descriptor); those not named are /dev/null.
  std::vector<std::pair<int, int>> fds;
  // Where the runtime sends the terminal; empty: no terminal.
  std::string console_socket;
};

class Runtime final {
 public:
  struct Config {
    std::string id;
    std::string container_namespace;
    std::string bundle;
    // Where the runtime writes pids. It has them on the disk before it goes on
    // (O_SYNC), which takes milliseconds where that is one.
    std::string pid_directory;
    // With a root.
    containerd::runc::v1::Options options;
    // Longest run of one command.
    std::chrono::seconds deadline{120};
  };

  Runtime(EventLoop* loop, MonitorClient* monitor, Config config);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Where the runtime keeps this namespace's containers.
  std::string Root() const;
  // In the pid directory.
  std::string InitPidFile() const;
  std::string ExecPidFile(std::string_view exec_id) const;

  // kStart: and Start, in one run, which takes less than the two.
  enum class Then { kWait, kStart };
  Async<absl::Status> Create(OperationKey key, ProcessStdio stdio,
                             Then then = Then::kWait);
  Async<absl::Status> Start(OperationKey key);
  // `process_file`: JSON of the OCI process.
  Async<absl::Status> Exec(OperationKey key, std::string exec_id,
                           std::string process_file, ProcessStdio stdio);
  Async<absl::Status> Restore(OperationKey key, std::string image_path,
                              std::string parent_path, ProcessStdio stdio);
  // NotFound: the process or the container is gone.
  Async<absl::Status> Kill(OperationKey key, int signal, bool all);
  // A container that the runtime does not know is deleted already.
  Async<absl::Status> Delete(OperationKey key, bool force);
  Async<absl::Status> Pause(OperationKey key);
  Async<absl::Status> Resume(OperationKey key);
  // `resources`: JSON of OCI LinuxResources.
  Async<absl::Status> Update(OperationKey key, std::string resources);
  Async<absl::Status> Checkpoint(
      OperationKey key, std::string image_path,
      containerd::runc::v1::CheckpointOptions options);
  Async<absl::StatusOr<std::vector<int>>> Processes(OperationKey key);
  // The directories of the container's cgroup by controller ("" on v2), as runc
  // writes them down; empty if it has not, or is another runtime.
  std::map<std::string, std::string> CgroupDirectories() const;

 private:
  struct RunOptions {
    ProcessStdio stdio;
    // Its output is the container's: do not capture it.
    bool shares_stdio = false;
    bool adopts = false;
    std::string input;                 // For descriptor 0, unless empty.
    std::chrono::seconds deadline{0};  // 0: the configured one.
  };
  struct Outcome {
    absl::Status status;  // Of the run: how it ended, with its output.
    std::string output;
    size_t log_start = 0;
  };

  Async<Outcome> Run(OperationKey key, std::vector<std::string> arguments,
                     RunOptions options);
  // A run whose failure is told by the runtime's log.
  Async<absl::Status> RunLogged(OperationKey key, std::string what,
                                std::vector<std::string> arguments,
                                RunOptions options);
  std::vector<std::string> CommandLine(
      std::vector<std::string> arguments) const;
  // For CRIU's logs: <bundle>/work, which an engine has made already.
  std::string MakeWorkDirectory() const;
  absl::Status SpawnError(const absl::Status& status) const;
  std::string LogPath() const { return config_.bundle + "/log.json"; }

  EventLoop* const loop_;
  MonitorClient* const monitor_;
  const Config config_;
  const std::string binary_;
};

}  // namespace hydra

#endif  // HYDRA_RUNTIME_RUNTIME_H_
