#include "test/integration/harness/native_container.h"

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "google/protobuf/empty.pb.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {

NativeContainer::NativeContainer(IntegrationTest* test, const std::string& id,
                                 const std::vector<std::string>& command,
                                 bool with_terminal)
    : mark_(test->containerd().mark()),
      shim_(&test->containerd(), test->runtime(), id, command) {
  shim_.LeaveEngine();
  shim_.spec()["process"]["terminal"] = with_terminal;
  shim_.WriteSpec();
  const Result started = shim_.Start();
  if (started.status != 0) FAIL("start instance " << id << started.err);
  Reconnect();
  request_.set_bundle(shim_.bundle());
  request_.set_terminal(with_terminal);
  request_.set_log_max_bytes(64 << 20);
}

NativeContainer::~NativeContainer() {
  if (!std::filesystem::exists(socket())) return;
  v1::RemoveRequest request;
  request.set_force(true);
  // The instance may end before it answers. On a connection of its own: what
  // served the other one may be dead.
  (void)GrpcClient(socket()).Call(kInstance, "Remove",
                                  request.SerializeAsString());
  CHECK(Eventually([&] { return !std::filesystem::exists(socket()); }));
}

void NativeContainer::Fail(const std::string& method,
                           const std::string& message) {
  FAIL(method << ": " << message);
}

void NativeContainer::Run() {
  (void)Call<v1::RunResponse>(kInstance, "Run", request_);
}

void NativeContainer::Kill(uint32_t signal) {
  auto request = TaskClient::For<task_api::KillRequest>(id());
  request.set_signal(signal);
  (void)Call<google::protobuf::Empty>(kTaskV2, "Kill", request);
}

void NativeContainer::Restart() {
  v1::RestartRequest request;
  request.set_signal(SIGKILL);
  (void)Call<v1::RestartResponse>(kInstance, "Restart", request);
}

void NativeContainer::Write(const std::string& data) {
  v1::WriteInputRequest request;
  request.set_data(data);
  (void)Call<v1::WriteInputResponse>(kInstance, "WriteInput", request);
}

pid_t NativeContainer::Monitor() { return Inspect().monitor().pid(); }

pid_t NativeContainer::GrpcProcess() {
  const pid_t monitor = Monitor();
  for (const ProcessInfo& process : ProcessesOf(mark_)) {
    if (process.parent == monitor &&
        process.command.find("hydra-grpc") != std::string::npos) {
      return process.pid;
    }
  }
  return 0;
}

}  // namespace hydra::testing
