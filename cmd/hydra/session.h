// Being a container's terminal, or its pipes, until it has ended or the user
// has had enough.
//
// Main thread; the signals below are blocked from the making on, for all
// threads.

#ifndef HYDRA_CMD_HYDRA_SESSION_H_
#define HYDRA_CMD_HYDRA_SESSION_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/hydra/client.h"
#include "cmd/hydra/feed.h"
#include "cmd/hydra/terminal.h"
#include "shim/event/async.h"

namespace hydra::command {

class Session final : public std::enable_shared_from_this<Session> {
 public:
  struct Options {
    std::string exec_id;  // Empty: the container's init.
    bool terminal = false;
    bool input = false;
    bool json = false;
    bool forward_signals = true;
    std::string detach_keys = "ctrl-p,ctrl-q";
    // After which the process is killed; 0: never.
    std::chrono::milliseconds limit{0};
  };
  struct End {
    bool detached = false;
    uint32_t exit_status = 0;
  };

  // InvalidArgument: detach keys that are none; FailedPrecondition: a terminal
  // is wanted and standard input is none.
  static absl::StatusOr<std::shared_ptr<Session>> Make(
      std::shared_ptr<Client> client, Options options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // What starts the process: a call, and what is done with its answer.
  struct Start {
    std::string service;
    std::string method;
    std::string request;
    std::function<absl::Status(const std::string& answer)> on_started;
  };
  // The task service's, of a process that has been made.
  Start StartOfMade() const;

  // Makes the call, and follows the process: its exit is not missed, however
  // short it lives. Without a `start`: it runs. DeadlineExceeded: the limit has
  // passed, and it was killed.
  absl::StatusOr<End> Run(std::optional<Start> start,
                          const std::shared_ptr<Feed>& feed);

  // An error came after the start.
  bool started() const { return started_; }

 private:
  Session(std::shared_ptr<Client> client, Options options,
          DetachScanner scanner);
  template <typename Request>
  Request Named() const {
    Request request;
    request.set_id(client_->instance().id);
    request.set_exec_id(options_.exec_id);
    return request;
  }
  Async<absl::StatusOr<End>> Follow(std::optional<Start> start,
                                    std::shared_ptr<Feed> feed);
  Async<void> Wait();
  // In a thread.
  void ReadInput(const std::shared_ptr<Feed>& feed);
  void CloseInput();
  absl::Status WatchSignals();
  void OnSignal();
  void Send(int signal);
  void Resize();

  const std::shared_ptr<Client> client_;
  const Options options_;
  DetachScanner scanner_;
  UniqueFd signals_;
  EventLoop::Registration watch_;
  int interrupts_ = 0;
  // The process has ended, with this status; or not so.
  Future<absl::StatusOr<uint32_t>> exited_;
  // The same, or detached, or interrupted too often.
  Future<bool> left_;
  bool started_ = false;
  bool too_late_ = false;
};

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_SESSION_H_
