// A container that no engine has: an instance of its own, on which
// hydra.v1.Instance/Run is called.
//
// Main thread only; what cannot be made fails the running test.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_NATIVE_CONTAINER_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_NATIVE_CONTAINER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "hydra/v1/container.pb.h"
#include "hydra/v1/instance.pb.h"
#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/grpc_client.h"

namespace hydra::testing {

inline constexpr char kInstance[] = "hydra.v1.Instance";

class NativeContainer final {
 public:
  // Starts the instance; its namespace is the test's. `with_terminal` is in
  // the bundle and in request().
  NativeContainer(IntegrationTest* test, const std::string& id,
                  const std::vector<std::string>& command,
                  bool with_terminal = false);
  // Removes it, whatever it does, if it is there.
  ~NativeContainer();
  NativeContainer(const NativeContainer&) = delete;
  NativeContainer& operator=(const NativeContainer&) = delete;

  // For changes before Run; has the bundle, and a log of 64 MiB.
  v1::RunRequest& request() { return request_; }
  void Run();

  const std::string& id() const { return shim_.id(); }
  const std::string& bundle() const { return shim_.bundle(); }
  const std::string& socket() const { return shim_.socket(); }
  // A unary call that must succeed.
  template <typename Response, typename Request>
  Response Call(const std::string& service, const std::string& method,
                const Request& request) {
    const auto reply = Typed<Response>(
        client_->Call(service, method, request.SerializeAsString()));
    if (!reply.ok()) Fail(method, reply.message);
    return reply.value;
  }
  v1::InspectResponse Inspect() {
    return Call<v1::InspectResponse>(kInstance, "Inspect",
                                     v1::InspectRequest());
  }
  // The next call is on another connection.
  void Reconnect() { client_ = std::make_unique<GrpcClient>(socket()); }
  void Kill(uint32_t signal);
  // Another init in the place of the one that runs, which is killed.
  void Restart();
  // To the container's input.
  void Write(const std::string& data);
  // Of the process that has the container's init for a child.
  pid_t Monitor();
  // Of what serves gRPC for it; 0 if nothing does.
  pid_t GrpcProcess();

 private:
  static void Fail(const std::string& method, const std::string& message);

  std::string mark_;
  BareShim shim_;
  std::unique_ptr<GrpcClient> client_;
  v1::RunRequest request_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_NATIVE_CONTAINER_H_
