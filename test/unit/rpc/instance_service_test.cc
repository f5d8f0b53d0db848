#include "shim/rpc/instance_service.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

#include "hydra/v1/instance.pb.h"
#include "shim/base/file.h"
#include "shim/base/version.h"
#include "shim/state/record.h"
#include "test/unit/task/head_fixture.h"

namespace hydra {
namespace {

class InstanceServiceTest : protected HeadFixture {
 protected:
  InstanceServiceTest() { StartHead(); }
  uint64_t SendInstance(const std::string& method,
                        const google::protobuf::MessageLite& request) {
    return SendBytes("hydra.v1.Instance", method, request.SerializeAsString());
  }
  // Orders one; where the monitor has it.
  OperationKey Order(const v1::UpgradeRequest& request, uint64_t* token) {
    const size_t before = fake_.upgrades().size();
    *token = SendInstance("Upgrade", request);
    Settle();
    REQUIRE(fake_.upgrades().size() == before + 1);
    return fake_.upgrades().back().key;
  }
  absl::Status Fail(int error, int64_t paused = 0) {
    uint64_t token = 0;
    const OperationKey key = Order({}, &token);
    fake_.EndUpgrade(key, error, paused, {"1", "2", "3", "4", "because"});
    return Answer(token).status();
  }
};

TEST_CASE_METHOD(InstanceServiceTest, "Inspect tells what the monitor says") {
  const auto reply = AnswerAs<v1::InspectResponse>(
      SendInstance("Inspect", v1::InspectRequest()));
  REQUIRE(reply.ok());
  CHECK(reply->id() == "c1");
  CHECK(reply->namespace_() == "blue");
  CHECK(reply->monitor().pid() == 77);
  CHECK(reply->monitor().version() == "5.5.5");
  CHECK(reply->monitor().program() == "/opt/hydra-monitor");
  CHECK(reply->monitor().upgrades() == 6);
  CHECK(reply->head().pid() == getpid());
  CHECK(reply->head().version() == Version());
  CHECK(reply->head().state_version() == kRecordVersion);
  CHECK(reply->counts().streams() == 4);
}

TEST_CASE_METHOD(InstanceServiceTest,
                 "The head after the upgrade answers what was asked before") {
  v1::UpgradeRequest request;
  request.set_monitor("/new/monitor");
  request.set_dry_run(true);
  uint64_t token = 0;
  const OperationKey key = Order(request, &token);
  CHECK(key.token == token);
  const FakeMonitor::UpgradeOrder order = fake_.upgrades()[0];
  CHECK(order.flags == link::kUpgradeTrialOnly);
  CHECK(order.strings ==
        std::vector<std::string>{"/new/monitor", "", Version(), "check"});
  CHECK_FALSE(Answered(token));

  // One that dies of something else asks again.
  RestartHead();
  Settle();
  CHECK(fake_.upgrades().size() == 1);
  KillHead();
  fake_.EndUpgrade(key, 0, 1234, {"1.0", "2.0", "1.1", "2.1", ""});
  StartHead();
  const auto reply = AnswerAs<v1::UpgradeResponse>(token);
  REQUIRE(reply.ok());
  CHECK(reply->monitor_from() == "1.0");
  CHECK(reply->monitor_to() == "2.0");
  CHECK(reply->head_from() == "1.1");
  CHECK(reply->head_to() == "2.1");
  CHECK(reply->pause() == 1234);
  CHECK(fake_.upgrades().size() == 1);
  CHECK_FALSE(fake_.KnowsToken(token));
}

TEST_CASE_METHOD(InstanceServiceTest, "Errors say what kind they are") {
  using absl::StatusCode;
  const absl::Status missing = Fail(ENOENT);
  CHECK(missing.code() == StatusCode::kNotFound);
  CHECK(Message(missing) == "because");
  CHECK(Fail(EALREADY).code() == StatusCode::kAborted);
  CHECK(Fail(ETIMEDOUT).code() == StatusCode::kDeadlineExceeded);
  CHECK(Fail(ENOEXEC).code() == StatusCode::kFailedPrecondition);
  CHECK(Fail(EPROTO).code() == StatusCode::kFailedPrecondition);
  CHECK(Fail(EFAULT, 1).code() == StatusCode::kInternal);
  CHECK(Fail(ETIMEDOUT, 1).code() == StatusCode::kInternal);

  v1::UpgradeRequest relative;
  relative.set_head("containerd-shim-hydra-v1");
  CHECK(absl::IsInvalidArgument(
      Answer(SendInstance("Upgrade", relative)).status()));
}

TEST_CASE_METHOD(InstanceServiceTest,
                 "A head that cannot read the record can be upgraded") {
  KillHead();
  REQUIRE(ReplaceFile(config_.paths.state, "foreign", 0600).ok());
  StartHead();
  CHECK(absl::IsDataLoss(State().status()));
  CHECK(Answer(SendInstance("Inspect", v1::InspectRequest())).ok());
  uint64_t token = 0;
  fake_.EndUpgrade(Order({}, &token), 0, 1, {"1", "2", "3", "4", ""});
  CHECK(Answer(token).ok());
}

}  // namespace
}  // namespace hydra
