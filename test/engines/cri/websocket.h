// One stream of CRI's streaming server: a WebSocket with Kubernetes' channels,
// as `kubectl exec` has it when it does not speak SPDY.
//
// Blocking, with limits; one thread per object. RFC 6455, as far as that server
// needs it: the client's frames are masked, and it pings nobody.

#ifndef HYDRA_TEST_ENGINES_CRI_WEBSOCKET_H_
#define HYDRA_TEST_ENGINES_CRI_WEBSOCKET_H_

#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {

class WebSocket final {
 public:
  // Connects to a URL "http://127.0.0.1:PORT/PATH", as CRI's Exec and Attach
  // answer with.
  explicit WebSocket(const std::string& url);

  // Whether the server has agreed, and has not ended the stream since.
  bool open() const { return fd_.valid(); }
  // What the server said instead of agreeing.
  const std::string& refusal() const { return refusal_; }

  // To the process's standard input.
  void Write(std::string_view data);
  void Resize(unsigned columns, unsigned rows);

  // Until out() contains `text`; false at the limit or at the end.
  bool ReadUntil(std::string_view text, Milliseconds limit = kPatience);
  // Until the server ends the stream; false at the limit.
  bool ReadToEnd(Milliseconds limit = kPatience);

  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }
  // How the process ended, as JSON; empty before that.
  const std::string& status() const { return status_; }

 private:
  void ShakeHands(const std::string& host, const std::string& path);
  void Send(unsigned char channel, std::string_view data);
  // False at the limit; at the end fd_ is closed.
  bool ReadSome(Milliseconds limit);
  void TakeFrames();
  void TakeMessage(std::string_view message);

  UniqueFd fd_;
  std::string refusal_;
  std::string received_;
  std::string out_;
  std::string err_;
  std::string status_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_ENGINES_CRI_WEBSOCKET_H_
