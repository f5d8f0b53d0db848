// Calls a shim's services, one call at a time.
//
// As small as can be, so that what is measured is the shim: one write, and
// reads until the answer has come. The wire format is that of
// github.com/containerd/ttrpc, PROTOCOL.md.
//
// One thread.

#ifndef HYDRA_TEST_BENCH_TTRPC_CLIENT_H_
#define HYDRA_TEST_BENCH_TTRPC_CLIENT_H_

#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra::bench {

class TtrpcClient final {
 public:
  // Connects to "unix:///path", as shims give their address.
  static absl::StatusOr<TtrpcClient> Connect(const std::string& address);

  // Calls containerd.task.v2.Task/`method`, or that of another service.
  //
  // Errors: the service's own, with its code; DataLoss for an answer that is
  // none; errno's for a connection that ends, or is silent for 30 s.
  absl::Status Call(const std::string& method,
                    const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite* response,
                    const std::string& service = "containerd.task.v2.Task");

 private:
  explicit TtrpcClient(UniqueFd fd) : fd_(std::move(fd)) {}
  absl::Status Send(const std::string& bytes);
  absl::Status Receive(char* bytes, size_t size);

  UniqueFd fd_;
  // Odd, and ever growing, as ids of a client's streams must be.
  uint32_t next_stream_ = 1;
};

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_TTRPC_CLIENT_H_
