// One call of a streaming method, as the method sees it.
//
// Loop thread only. Whoever has asked for something keeps the stream until it
// has the answer; each question has one, whatever becomes of the client.

#ifndef HYDRA_GRPC_STREAM_H_
#define HYDRA_GRPC_STREAM_H_

#include <optional>
#include <string>

#include "shim/event/async.h"

namespace hydra {

class Stream {
 public:
  virtual ~Stream() = default;

  // The client's next message; nothing if it has said all that it had to say,
  // or has gone. One at a time.
  virtual Async<std::optional<std::string>> Read() = 0;

  // Sends a message, and waits until it is on its way: that is all that is kept
  // for a client that does not read. False: nobody will get it. One at a time.
  virtual Async<bool> Write(std::string message) = 0;

  // Set when the client has gone, or does not want any more.
  virtual Future<bool> cancelled() const = 0;
};

}  // namespace hydra

#endif  // HYDRA_GRPC_STREAM_H_
