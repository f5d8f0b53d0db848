// HTTP/2 by hand, for a client that does not keep to the rules of gRPC, or
// vanishes in the middle of it.
//
// One thread per object; nothing asserts.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_RAW_HTTP2_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_RAW_HTTP2_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {

class RawHttp2 final {
 public:
  // Connects and sends the preface. Closed, with nothing said, when destroyed.
  explicit RawHttp2(const std::string& socket_path);

  // A call of gRPC on stream 1.
  void SendHeaders(const std::string& service, const std::string& method);
  // DATA of stream 1; the last one if `ends`.
  void SendData(std::string_view data, bool ends = false);
  // Of any kind.
  void SendFrame(uint8_t type, uint8_t flags, uint32_t stream,
                 std::string_view payload);
  void SendBytes(std::string_view bytes);

  // Until some bytes that contain `text` have come; false at the limit, or if
  // the peer has closed.
  bool ReadUntil(std::string_view text, Milliseconds limit = kPatience);
  // Until the peer has closed.
  bool ReadToEnd(Milliseconds limit = kPatience);

  // A message as gRPC puts it into DATA.
  static std::string Message(std::string_view payload);

 private:
  // False at the limit, or at the end.
  bool ReadSome(Milliseconds limit);

  UniqueFd fd_;
  std::string input_;
  bool at_end_ = false;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_RAW_HTTP2_H_
