// A ttrpc client: any number of calls at a time over one connection, on the
// loop.
//
// Loop thread only. The object outlives its calls.

#ifndef HYDRA_TTRPC_CLIENT_H_
#define HYDRA_TTRPC_CLIENT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"

namespace hydra::ttrpc {

class Client final {
 public:
  // `address`: a unix socket's path, with or without "unix://". `ns` goes into
  // every call's metadata, as the engine wants it.
  Client(EventLoop* loop, std::string address, std::string ns);
  // Over a connection that is there; once it has gone there is no other, and
  // `on_lost` is called when the calls that waited have their answers.
  Client(EventLoop* loop, UniqueFd connection, std::string ns,
         std::function<void()> on_lost);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Connects if need be and makes one unary call; the reply's payload. A
  // `timeout` of zero is none. `cancelled`, when it is set, ends the wait.
  // Unavailable: no connection, or it broke; whether the peer acted on the
  // call is not known then. DeadlineExceeded: no answer in `timeout`, and
  // Cancelled: nor will one be taken any more; the peer is told that nobody
  // waits (see kCancel). Otherwise the status that the peer answered with.
  Async<absl::StatusOr<std::string>> Call(std::string service,
                                          std::string method,
                                          std::string payload,
                                          std::chrono::milliseconds timeout,
                                          Future<bool> cancelled = {});

 private:
  using Reply = Future<absl::StatusOr<std::string>>;

  absl::Status Connect();
  absl::Status Adopt(UniqueFd connection);
  void Disconnect(const absl::Status& reason);
  void OnReady(uint32_t events);
  // Takes what has come. False: the peer has closed.
  bool Receive();
  void TakeFrames();
  void TakeResponse(uint32_t stream, const std::string& data);
  void GiveUp(uint32_t stream, absl::Status reason);
  // Writes what the socket takes; a failure ends the connection.
  void Send();

  EventLoop* const loop_;
  const std::string address_;  // Empty without one to connect to.
  const std::string namespace_;
  const std::function<void()> on_lost_;
  UniqueFd fd_;
  uint64_t connection_ = 0;  // Counts them.
  EventLoop::Registration watch_;
  uint32_t next_stream_ = 1;
  std::map<uint32_t, Reply> calls_;  // That have no answer yet, by stream.
  std::string output_;
  size_t output_sent_ = 0;
  std::string input_;
};

}  // namespace hydra::ttrpc

#endif  // HYDRA_TTRPC_CLIENT_H_
