// containerd's own API, over gRPC, by name.
//
// Any thread. Survives containerd: a call that begins while it is away waits
// for it; one that was under way when it died is Unavailable.

#ifndef HYDRA_TEST_CHAOS_ENGINE_CLIENT_H_
#define HYDRA_TEST_CHAOS_ENGINE_CLIENT_H_

#include <memory>
#include <string>

#include "hydra/testing/engine.pb.h"
#include "test/integration/harness/task_client.h"

namespace grpc {
class Channel;
}

namespace hydra::testing {

inline constexpr Code kUnavailable = static_cast<Code>(14);

class EngineClient final {
 public:
  EngineClient(const std::string& socket, std::string ns);

  template <typename Response, typename Request>
  Reply<Response> Tasks(const std::string& method, const Request& request) {
    return Typed<Response>(Call("containerd.services.tasks.v1.Tasks", method,
                                request.SerializeAsString()));
  }
  template <typename Request>
  RawReply Containers(const std::string& method, const Request& request) {
    return Call("containerd.services.containers.v1.Containers", method,
                request.SerializeAsString());
  }

 private:
  RawReply Call(const std::string& service, const std::string& method,
                const std::string& payload);

  const std::string ns_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_CHAOS_ENGINE_CLIENT_H_
