// A gRPC client of any service on a unix socket, without generated stubs.
//
// One thread per object.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_GRPC_CLIENT_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_GRPC_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "test/integration/harness/transport.h"

namespace hydra::testing {

// A channel with a connection of its own, as separate programs have.
std::shared_ptr<grpc::Channel> OwnChannel(const std::string& socket_path);

std::string Flatten(const grpc::ByteBuffer& buffer);

class GrpcClient final : public Transport {
 public:
  explicit GrpcClient(const std::string& socket_path);

  // Calls /service/method with one message and reads one. A streaming method
  // can be called as well, as far as one message each way goes: it is the
  // same on the wire.
  RawReply Call(const std::string& service, const std::string& method,
                const std::string& payload,
                Milliseconds limit = kPatience) override;

 private:
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_GRPC_CLIENT_H_
