// A logging binary (binary://): a program that reads the container's stdout
// and stderr from pipes, and is started again when it dies.
//
// Its contract is containerd's: descriptor 3 is stdout, 4 is stderr, 5 is
// written to or closed when it is ready; the environment is CONTAINER_ID and
// CONTAINER_NAMESPACE and nothing else. The monitor copies into the pipes what
// the container writes, as into an engine's FIFO. It holds both ends, so that
// what a logger that died had not read yet is there for the next, and a head
// that takes over finds them.
//
// Loop thread only.

#ifndef HYDRA_IO_LOGGER_H_
#define HYDRA_IO_LOGGER_H_

#include <memory>
#include <string>
#include <vector>

#include "shim/event/async.h"
#include "shim/io/sink.h"
#include "shim/link/client.h"

namespace hydra {

class Logger final {
 public:
  struct Config {
    SinkName binary;
    std::string container_id;
    std::string container_namespace;
    // Names the pipes and the program's runs with the monitor; one for each
    // logger of an instance, below 2^32.
    uint64_t number = 0;
  };

  Logger(EventLoop* loop, MonitorClient* monitor, Config config);
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;
  ~Logger();

  // Whether the operations of `token` are a logger's.
  static bool Owns(uint64_t token);

  // Makes the pipes, starts the program and waits until it is ready, or takes
  // both over from a head before us. Unknown: it cannot be started, or is not
  // ready in time.
  Async<absl::Status> Open();

  // The write ends, for what the container writes.
  int stdout_fd() const { return fds_.empty() ? -1 : fds_[1].get(); }
  int stderr_fd() const { return fds_.empty() ? -1 : fds_[3].get(); }

  // Closes the pipes, so that the program reads its last bytes and the end of
  // file; then ends it: SIGTERM after two seconds, SIGKILL after twelve.
  Async<void> Close();

 private:
  Async<absl::Status> StartProgram();
  Async<absl::Status> WaitReady(UniqueFd ready);
  static Async<void> Supervise(std::shared_ptr<Logger*> alive);
  OperationKey Run() const { return {token_, run_}; }

  EventLoop* const loop_;
  MonitorClient* const monitor_;
  const Config config_;
  const uint64_t token_;
  uint32_t run_ = 0;
  bool running_ = false;  // The run's spawn worked.
  bool closing_ = false;
  // Read and write end of stdout's pipe, then of stderr's.
  std::vector<UniqueFd> fds_;
  // For Supervise(), which may outlive us.
  std::shared_ptr<Logger*> alive_;
};

}  // namespace hydra

#endif  // HYDRA_IO_LOGGER_H_
