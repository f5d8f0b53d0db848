// What the client of an Attach sends: input for the container, its end, and
// sizes of its terminal.
//
// Input is written in its order, in pieces, each when the one before has been
// taken. A container that reads nothing is waited for, and so is the client,
// once more than a piece waits and more input comes: no more of its messages
// are read. Sizes do not wait for the input before them. What cannot be done is
// told to the client, which stays attached: the container may be starting
// again.
//
// Loop thread only. Shared with what it has going; Stop() ends that.

#ifndef HYDRA_GRPC_ATTACH_INPUT_H_
#define HYDRA_GRPC_ATTACH_INPUT_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "hydra/v1/log.pb.h"
#include "shim/event/async.h"
#include "shim/grpc/instance_streams.h"
#include "shim/grpc/stream.h"

namespace hydra {

class AttachInput final : public std::enable_shared_from_this<AttachInput> {
 public:
  struct Config {
    InstanceAccess instance;
    std::string container_id;
    bool terminal = false;
    // Tells the client; done when it is on its way.
    std::function<Async<void>(v1::AttachRefused)> refuse;
    // The client has said what no client may. Called once at most.
    std::function<void(absl::Status)> fail;
  };

  AttachInput(Config config, std::shared_ptr<Stream> stream);
  AttachInput(const AttachInput&) = delete;
  AttachInput& operator=(const AttachInput&) = delete;

  // Takes the client's messages from now on.
  void Start();
  // Takes no more. Input that waits for the container is not written.
  void Stop();

 private:
  static Async<void> TakeMessages(std::shared_ptr<AttachInput> self);
  Async<absl::Status> Take(v1::AttachRequest message);
  Async<void> Resize(v1::TerminalSize size);
  Async<void> WritePiece();
  static Async<void> WriteQueued(std::shared_ptr<AttachInput> self);
  size_t queued() const { return queue_.size() - written_; }
  std::string TakePiece();

  const Config config_;
  const std::shared_ptr<Stream> stream_;
  Future<bool> stop_;
  std::string queue_;
  size_t written_ = 0;   // Of the queue.
  bool closes_ = false;  // After what is queued.
  bool is_writing_ = false;
  Future<bool> has_room_;
};

}  // namespace hydra

#endif  // HYDRA_GRPC_ATTACH_INPUT_H_
