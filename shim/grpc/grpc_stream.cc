#include "shim/grpc/grpc_stream.h"

#include <optional>
#include <string>
#include <utility>

#include "shim/base/status.h"
#include "shim/grpc/byte_buffer.h"

namespace hydra {
namespace {

using BidiReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// The loop's side of a call. Made elsewhere, with it; begins and ends here.
class GrpcStream final : public Stream {
 public:
  ~GrpcStream() override { --*streams_; }

  // Before all else. What the reactor says comes by way of the loop.
  void Begin(BidiReactor* reactor, int* streams) {
    reactor_ = reactor;
    streams_ = streams;
    ++*streams_;
  }

  Async<std::optional<std::string>> Read() override {
    if (reactor_ == nullptr) co_return std::nullopt;
    read_ = {};
    const Future<bool> read = read_;
    reactor_->StartRead(&incoming_);
    const bool ok = co_await read;
    if (!ok) co_return std::nullopt;
    std::string bytes = ToString(incoming_);
    incoming_.Clear();
    co_return bytes;
  }

  Async<bool> Write(std::string message) override {
    if (reactor_ == nullptr) co_return false;
    written_ = {};
    const Future<bool> written = written_;
    outgoing_ = ToBuffer(message);
    std::string().swap(message);
    reactor_->StartWrite(&outgoing_);
    const bool ok = co_await written;
    outgoing_.Clear();
    co_return ok;
  }

  Future<bool> cancelled() const override { return cancelled_; }

  // The last word. gRPC lets go of the reactor after it.
  void Finish(const absl::Status& status) {
    std::exchange(reactor_, nullptr)
        ->Finish(grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                              Message(status)));
  }

  void OnReadDone(bool ok) { read_.Set(ok); }
  void OnWriteDone(bool ok) { written_.Set(ok); }
  void OnCancel() { cancelled_.Set(true); }

 private:
  BidiReactor* reactor_ = nullptr;  // Null again once it is finished.
  int* streams_ = nullptr;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;
  Future<bool> read_;
  Future<bool> written_;
  Future<bool> cancelled_;
};

// gRPC's side of it, called on gRPC's threads.
class Reactor final : public BidiReactor {
 public:
  Reactor(EventLoop* loop, std::shared_ptr<GrpcStream> stream)
      : loop_(loop), stream_(std::move(stream)) {}

  void OnReadDone(bool ok) override {
    loop_->Post([stream = stream_, ok] { stream->OnReadDone(ok); });
  }
  void OnWriteDone(bool ok) override {
    loop_->Post([stream = stream_, ok] { stream->OnWriteDone(ok); });
  }
  void OnCancel() override {
    loop_->Post([stream = stream_] { stream->OnCancel(); });
  }
  void OnDone() override {
    // It is the loop's to destroy.
    loop_->Post([stream = std::move(stream_)] {});
    delete this;
  }

 private:
  EventLoop* const loop_;
  std::shared_ptr<GrpcStream> stream_;
};

Async<void> Serve(StreamMethod method, std::shared_ptr<GrpcStream> stream,
                  bool is_one_too_many) {
  absl::Status status;
  if (is_one_too_many) {
    status = MakeError(absl::StatusCode::kResourceExhausted,
                       "too many streams of this instance are open");
  } else {
    status = co_await method(stream);
  }
  stream->Finish(status);
}

}  // namespace

BidiReactor* ServeStream(EventLoop* loop, StreamMethod method, int* streams,
                         int most) {
  auto stream = std::make_shared<GrpcStream>();
  auto* const reactor = new Reactor(loop, stream);
  loop->Post([=, stream = std::move(stream), method = std::move(method)] {
    stream->Begin(reactor, streams);
    Detach(Serve(method, stream, *streams > most));
  });
  return reactor;
}

}  // namespace hydra
