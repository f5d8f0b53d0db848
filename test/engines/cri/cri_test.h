// What a CRI test stands on: a private containerd with its CRI, a pod's worth
// of words, and CRI's client.
//
// Pods are in the host's network unless a test says otherwise, so no network
// is set up. Main thread only. At the end everything is removed, and the same
// check as everywhere is made: nothing is left behind.

#ifndef HYDRA_TEST_ENGINES_CRI_CRI_TEST_H_
#define HYDRA_TEST_ENGINES_CRI_CRI_TEST_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/v1/api.grpc.pb.h"
#include "test/integration/harness/containerd.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {

namespace cri = ::runtime::v1;

// A container, as a test wants it.
struct PodContainer {
  std::string name = "c";
  Arguments command = {"/bin/sleep", "1000000"};
  // In bytes; 0 for none.
  int64_t memory_limit = 0;
  bool stdin = false;
  bool terminal = false;
  // A directory of the host's, to be mounted at /share.
  std::string share = {};
};

class CriTest {
 public:
  // With a network of its own, containerd and its CNI are in a network
  // namespace, where nothing of the machine's can be changed.
  explicit CriTest(bool own_network = false,
                   const Engine& engine = TestEngine());
  ~CriTest();

  bool is_hydra() const { return TestRuntime() == kHydraRuntime; }
  Containerd& containerd() { return *containerd_; }
  // kill -9, and a new one; returns when its CRI answers.
  void CrashEngine();
  void StartEngine();
  // The same with another version.
  void StartEngine(const Engine& engine);

  // CRI's methods by name: REQUIREs success.
  template <typename Response, typename Request>
  Response Must(grpc::Status (cri::RuntimeService::Stub::*method)(
                    grpc::ClientContext*, const Request&, Response*),
                const Request& request) {
    Response response;
    const grpc::Status status = Try(method, request, &response);
    if (!status.ok()) Refused(Request().GetTypeName(), status);
    return response;
  }
  template <typename Response, typename Request>
  grpc::Status Try(grpc::Status (cri::RuntimeService::Stub::*method)(
                       grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    return (stub_.get()->*method)(&context, request, response);
  }

  // The runtime's handler, as containerd's configuration names it.
  std::string Handler() const { return is_hydra() ? "hydra" : "runc"; }
  // One of runc's own type, which gets runc's options, with Hydra's path.
  static constexpr char kHydraAsRunc[] = "hydra-as-runc";
  cri::PodSandboxConfig PodConfig() const;
  std::string RunPod();
  std::string RunPod(const std::string& handler);
  std::string CreateContainer(const std::string& pod,
                              const PodContainer& wanted);
  std::string RunContainer(const std::string& pod, const PodContainer& wanted);
  cri::ContainerStatus ContainerStatus(const std::string& id);
  bool WaitForState(const std::string& id, cri::ContainerState state);
  pid_t ContainerPid(const std::string& id);
  cri::ExecSyncResponse ExecSync(const std::string& id,
                                 const Arguments& command);
  void StopContainer(const std::string& id, int64_t timeout);
  void RemoveContainer(const std::string& id);
  void StopPod(const std::string& pod);
  // The container's log, as the kubelet would find it.
  std::string Log(const std::string& name) const;

 private:
  std::string Configuration(const Containerd& containerd) const;
  void Connect();
  // containerd tells its CRI of images, which takes a moment.
  void WaitForImage(const std::string& name);
  void RemoveAll();
  [[noreturn]] void Refused(const std::string& request,
                            const grpc::Status& status) const;

  bool own_network_;
  std::unique_ptr<Containerd> containerd_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<cri::RuntimeService::Stub> stub_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_ENGINES_CRI_CRI_TEST_H_
