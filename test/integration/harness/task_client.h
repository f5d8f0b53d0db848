// The task service, typed, over either transport.
//
// containerd.task.v3 has the messages of v2 under another name, so that one
// client serves both: the service's name is a parameter.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_TASK_CLIENT_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_TASK_CLIENT_H_

#include <cstdint>
#include <string>

#include "containerd/task/v2/task.pb.h"
#include "test/integration/harness/transport.h"
#include "test/integration/harness/ttrpc_client.h"

namespace hydra::testing {

namespace task_api = ::containerd::task::v2;

inline constexpr char kTaskV2[] = "containerd.task.v2.Task";
inline constexpr char kTaskV3[] = "containerd.task.v3.Task";

// The newest that the test engine's own shim has, which is its only one.
std::string TaskService();

template <typename Message>
struct Reply {
  Code code = Code::kNoAnswer;
  std::string message;
  Message value;
  bool ok() const { return code == Code::kOk; }
};

template <typename Message>
Reply<Message> Typed(const RawReply& raw) {
  Reply<Message> reply;
  reply.code = raw.code;
  reply.message = raw.message;
  if (reply.ok() && !reply.value.ParseFromString(raw.payload)) {
    reply.code = Code::kNoAnswer;
    reply.message = "undecodable reply";
  }
  return reply;
}

class TaskClient final {
 public:
  // `transport` stays the caller's.
  explicit TaskClient(Transport* transport, std::string service = TaskService())
      : transport_(transport), service_(std::move(service)) {}

  template <typename Response, typename Request>
  Reply<Response> Call(const std::string& method, const Request& request,
                       Milliseconds limit = kPatience) {
    return Typed<Response>(
        transport_->Call(service_, method, request.SerializeAsString(), limit));
  }
  // For the methods that answer with google.protobuf.Empty.
  template <typename Request>
  RawReply Do(const std::string& method, const Request& request) {
    return transport_->Call(service_, method, request.SerializeAsString());
  }

  Reply<task_api::StateResponse> State(const std::string& id,
                                       const std::string& exec_id = {}) {
    return Call<task_api::StateResponse>(
        "State", For<task_api::StateRequest>(id, exec_id));
  }
  Reply<task_api::StartResponse> Start(const std::string& id,
                                       const std::string& exec_id = {}) {
    return Call<task_api::StartResponse>(
        "Start", For<task_api::StartRequest>(id, exec_id));
  }
  Reply<task_api::WaitResponse> Wait(const std::string& id,
                                     const std::string& exec_id = {},
                                     Milliseconds limit = kPatience) {
    return Call<task_api::WaitResponse>(
        "Wait", For<task_api::WaitRequest>(id, exec_id), limit);
  }
  Reply<task_api::DeleteResponse> Delete(const std::string& id,
                                         const std::string& exec_id = {}) {
    return Call<task_api::DeleteResponse>(
        "Delete", For<task_api::DeleteRequest>(id, exec_id));
  }
  Reply<task_api::ConnectResponse> Connect(const std::string& id) {
    task_api::ConnectRequest request;
    request.set_id(id);
    return Call<task_api::ConnectResponse>("Connect", request);
  }
  Reply<task_api::PidsResponse> Pids(const std::string& id) {
    task_api::PidsRequest request;
    request.set_id(id);
    return Call<task_api::PidsResponse>("Pids", request);
  }
  RawReply Kill(const std::string& id, uint32_t signal,
                const std::string& exec_id = {}) {
    auto request = For<task_api::KillRequest>(id, exec_id);
    request.set_signal(signal);
    return Do("Kill", request);
  }
  RawReply Shutdown(const std::string& id) {
    task_api::ShutdownRequest request;
    request.set_id(id);
    return Do("Shutdown", request);
  }
  // `command` is run by /bin/sh -c, without any standard streams but `output`,
  // if that is not empty.
  RawReply Exec(const std::string& id, const std::string& exec_id,
                const std::string& command, bool terminal = false,
                const std::string& output = {});

  template <typename Request>
  static Request For(const std::string& id, const std::string& exec_id = {}) {
    Request request;
    request.set_id(id);
    request.set_exec_id(exec_id);
    return request;
  }

 private:
  Transport* transport_;
  std::string service_;
};

// Sends a Wait that is to be answered later, with Await on the same client.
uint32_t SendWait(TtrpcClient* client, const std::string& id,
                  const std::string& exec_id = {});

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_TASK_CLIENT_H_
