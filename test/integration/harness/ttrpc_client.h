// A ttrpc client that can have many calls outstanding and can break the rules.
//
// Blocking, with limits; one thread per object. The wire format is that of
// https://github.com/containerd/ttrpc/blob/main/PROTOCOL.md.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_TTRPC_CLIENT_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_TTRPC_CLIENT_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/transport.h"

namespace hydra::testing {

inline constexpr uint32_t kMaxFrameData = 4 << 20;

class TtrpcClient final : public Transport {
 public:
  explicit TtrpcClient(const std::string& socket_path,
                       const std::string& ns = {});

  // Whether the connection was made and has not ended since, as far as has
  // been seen.
  bool connected() const { return fd_.valid(); }

  RawReply Call(const std::string& service, const std::string& method,
                const std::string& payload,
                Milliseconds limit = kPatience) override;

  // Sends a request and returns its stream id; the answer is fetched with
  // Await, in any order.
  uint32_t Send(const std::string& service, const std::string& method,
                const std::string& payload);
  RawReply Await(uint32_t stream, Milliseconds limit = kPatience);

  // A frame with whatever it is given; `length` may lie about `data`.
  bool SendFrame(uint32_t length, uint32_t stream, uint8_t type, uint8_t flags,
                 std::string_view data);
  bool SendFrame(uint32_t stream, uint8_t type, std::string_view data) {
    return SendFrame(static_cast<uint32_t>(data.size()), stream, type, 0, data);
  }
  bool SendBytes(std::string_view bytes);
  // A serialised ttrpc.Request.
  std::string EncodeRequest(const std::string& service,
                            const std::string& method,
                            const std::string& payload) const;
  // The id that the next Send would use; it is used up.
  uint32_t TakeStreamId();

 private:
  // Reads what there is into answers_; false at the limit or at the end.
  bool ReadSome(Milliseconds limit);
  void TakeFrames();

  UniqueFd fd_;
  std::string ns_;
  uint32_t next_stream_ = 1;
  std::string received_;
  std::map<uint32_t, RawReply> answers_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_TTRPC_CLIENT_H_
