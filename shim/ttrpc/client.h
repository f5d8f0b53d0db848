// A ttrpc client for one call at a time over one connection, on the loop.
//
// Loop thread only.

#ifndef HYDRA_TTRPC_CLIENT_H_
#define HYDRA_TTRPC_CLIENT_H_

#include <chrono>
#include <cstdint>
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
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Connects if need be and makes one unary call; the reply's payload.
  // Unavailable: no connection, or it broke; whether the peer acted on the
  // call is not known then. DeadlineExceeded: no answer in `timeout`; the
  // connection is closed. Otherwise the status that the peer answered with.
  Async<absl::StatusOr<std::string>> Call(std::string service,
                                          std::string method,
                                          std::string payload,
                                          std::chrono::milliseconds timeout);

 private:
  absl::Status Connect();
  void Disconnect(absl::Status reason);
  void OnReady(uint32_t events);
  // Takes what has come. False: the peer has closed.
  bool Receive();
  void TakeFrames();
  absl::Status Send();

  EventLoop* const loop_;
  const std::string address_;
  const std::string namespace_;
  UniqueFd fd_;
  uint64_t connection_ = 0;  // Counts them.
  EventLoop::Registration watch_;
  uint32_t next_stream_ = 1;
  uint32_t stream_ = 0;  // Of the call in progress, or 0.
  std::string output_;
  std::string input_;
  Future<absl::StatusOr<std::string>> reply_;
};

}  // namespace hydra::ttrpc

#endif  // HYDRA_TTRPC_CLIENT_H_
