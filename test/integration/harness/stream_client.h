// A gRPC client of one streaming call on a unix socket, without generated
// stubs.
//
// It reads nothing that it is not asked to read: what the server sends
// meanwhile stays on its way, as with a client that hangs. One thread per
// object; nothing asserts.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_STREAM_CLIENT_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_STREAM_CLIENT_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "test/integration/harness/session.h"
#include "test/integration/harness/transport.h"

namespace hydra::testing {

class StreamClient final {
 public:
  // Begins the call, on a connection of its own.
  StreamClient(const std::string& socket_path, const std::string& service,
               const std::string& method);
  // Cancels it if it has not ended.
  ~StreamClient();
  StreamClient(const StreamClient&) = delete;
  StreamClient& operator=(const StreamClient&) = delete;

  // Sends a message. False: it has not gone out by the limit, and is still on
  // its way; or the stream has ended.
  bool Write(const std::string& payload, Milliseconds limit = kPatience);
  // There is no more to say.
  bool WritesDone(Milliseconds limit = kPatience);
  // The next message; nothing at the limit, or if the stream has ended.
  std::optional<std::string> Read(Milliseconds limit = kPatience);
  // Has read to the end.
  bool at_end() const { return at_end_; }
  // How it has ended; to be asked at_end(), or after Cancel().
  RawReply Finish(Milliseconds limit = kPatience);
  void Cancel() { context_.TryCancel(); }

  // The messages, typed.
  template <typename Message>
  bool Send(const Message& message, Milliseconds limit = kPatience) {
    return Write(message.SerializeAsString(), limit);
  }
  template <typename Message>
  std::optional<Message> Receive(Milliseconds limit = kPatience) {
    const std::optional<std::string> payload = Read(limit);
    Message message;
    if (!payload.has_value() || !message.ParseFromString(*payload)) return {};
    return message;
  }

 private:
  // What is under way, as its tag.
  struct Operation {
    bool pending = false;
    bool ok = false;
  };
  // Runs the queue until `operation` is done; false at the limit.
  bool Await(Operation* operation, Milliseconds limit);

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  Operation start_;
  Operation read_;
  Operation write_;
  Operation finish_;
  grpc::ByteBuffer incoming_;
  grpc::Status status_;
  bool at_end_ = false;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_STREAM_CLIENT_H_
