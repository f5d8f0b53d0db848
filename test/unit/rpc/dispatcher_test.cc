#include "shim/rpc/dispatcher.h"

#include <catch2/catch.hpp>
#include <string>

#include "shim/base/file.h"
#include "shim/ttrpc/frame.h"
#include "test/unit/base/contracts.h"
#include "test/unit/task/head_fixture.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra {
namespace {

class DispatcherTest : protected HeadFixture {
 protected:
  DispatcherTest() { StartHead(); }
  absl::Status Fault(link::Request info, std::string payload = "") {
    return Answer(fake_.SendRequest(std::move(payload), info)).status();
  }
};

TEST_CASE_METHOD(DispatcherTest,
                 "Both versions of the task service are known") {
  for (const std::string service :
       {"containerd.task.v2.Task", "containerd.task.v3.Task"}) {
    CHECK(Answer(SendBytes(service, "Connect", "")).ok());
  }
}

TEST_CASE_METHOD(DispatcherTest, "What is not known is told in ttrpc's words") {
  auto status = Answer(SendBytes("a.b.C", "Connect", "")).status();
  CHECK(absl::IsUnimplemented(status));
  CHECK(Message(status) == "service a.b.C");
  status = Answer(SendBytes("containerd.task.v2.Task", "Fly", "")).status();
  CHECK(absl::IsUnimplemented(status));
  CHECK(Message(status) == "method Fly");
}

TEST_CASE_METHOD(DispatcherTest, "Every method of the API is there") {
  const auto* service =
      Contracts().FindServiceByName("containerd.task.v2.Task");
  REQUIRE(service != nullptr);
  REQUIRE(service->method_count() == 17);
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string& method = service->method(i)->name();
    INFO(method);
    // Not a message of any type.
    const auto status =
        Answer(SendBytes("containerd.task.v2.Task", method, "\xff\xff"))
            .status();
    CHECK(absl::IsInvalidArgument(status));
    CHECK(Message(status) == "unmarshal request error: not a " +
                                 service->method(i)->input_type()->full_name());
  }
}

TEST_CASE_METHOD(DispatcherTest, "A payload that is no request is told so") {
  const auto status = Fault({}, "\xff\xff");
  CHECK(absl::IsInvalidArgument(status));
  CHECK(Message(status) == "unmarshal request error: not a ttrpc request");
}

TEST_CASE_METHOD(DispatcherTest, "Faults of frames have ttrpc's texts") {
  link::Request info = {};
  info.fault = link::kStreamIdEven;
  CHECK(Message(Fault(info)) ==
        "StreamID must be odd for client initiated streams");
  info.fault = link::kStreamIdReused;
  CHECK(Message(Fault(info)) ==
        "StreamID cannot be re-used and must increment");
  info.fault = link::kFrameNotRequest;
  CHECK(Message(Fault(info)) == "StreamID is no longer active");
  info.fault = link::kFrameTooLong;
  const auto too_long = Fault(info, "12345");
  CHECK(absl::IsResourceExhausted(too_long));
  CHECK(Message(too_long) ==
        "message length 5 exceed maximum message size of 4194304");
}

TEST_CASE_METHOD(DispatcherTest,
                 "A request that kills its servers is given up") {
  ::ttrpc::Request request;
  request.set_service("containerd.task.v2.Task");
  request.set_method("Create");
  request.set_payload(CreateRequest().SerializeAsString());
  link::Request info = {};
  info.deaths = link::kMaxAttempts;
  const auto status = Fault(info, request.SerializeAsString());
  CHECK(absl::IsInternal(status));
  CHECK(Message(status) ==
        "request was given up: 3 servers crashed while they worked on it");
  CHECK(fake_.spawns().empty());
  info.deaths = link::kMaxAttempts - 1;
  CHECK(Fault(info, request.SerializeAsString()).ok());
}

TEST_CASE_METHOD(DispatcherTest, "A request is pending until it is answered") {
  REQUIRE(Create().ok());
  const uint64_t wait = SendWait();
  Settle();
  CHECK(head_->dispatcher.IsPending(wait));
  fake_.EndProcess(1, 0);
  REQUIRE(Answer(wait).ok());
  CHECK_FALSE(head_->dispatcher.IsPending(wait));
  // Cancelled too late.
  head_->dispatcher.OnCancelled(wait);
}

TEST_CASE_METHOD(HeadFixture,
                 "A state that cannot be read answers everything") {
  REQUIRE(ReplaceFile(config_.paths.state, "rubbish", 0600).ok());
  StartHead();
  const std::string reason =
      "state file " + config_.paths.state + ": cut short";
  CHECK(absl::IsDataLoss(Create().status()));
  CHECK(Message(State().status()) == reason);
  CHECK(Message(Delete().status()) == reason);
  task::ConnectRequest connect;
  connect.set_id("c1");
  CHECK(Answer(Send("Connect", connect)).ok());
  // It is the operator's, until the engine gives the container up.
  CHECK(*ReadFile(config_.paths.state, 100) == "rubbish");
  CHECK(Answer(Send("Shutdown", task::ShutdownRequest())).ok());
  CHECK(head_->shut_down);
}

TEST_CASE_METHOD(DispatcherTest, "An answer over the limit becomes an error") {
  REQUIRE(Create().ok());
  // A bundle path as long as that cannot come in one request; it can be in
  // the record of a task.
  head_->instance.container()->set_bundle(
      std::string(ttrpc::kMaxFrameData, 'x'));
  CHECK(absl::IsResourceExhausted(State().status()));
}

}  // namespace
}  // namespace hydra
