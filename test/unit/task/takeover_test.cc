// A head dies, and the next goes on.

#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shim/base/file.h"
#include "test/unit/task/head_fixture.h"

namespace hydra {
namespace {

using Strings = std::vector<std::string>;

FakeMonitor::SpawnResult GoesOn(const FakeMonitor::Spawn&) {
  return FakeMonitor::SpawnResult{0, std::nullopt};
}

TEST_CASE_METHOD(HeadFixture, "A saved answer is given again, nothing is run") {
  StartHead();
  const uint64_t create = Send("Create", CreateRequest());
  REQUIRE(Answer(create).ok());
  const std::string answer = *fake_.AnswerTo(create);
  KillHead();
  fake_.TakeBackAnswer(create);
  StartHead();
  REQUIRE(Answer(create).ok());
  CHECK(*fake_.AnswerTo(create) == answer);
  CHECK(Commands() == Strings{"create"});
  CHECK(Events() == Strings{"/tasks/create"});
}

TEST_CASE_METHOD(HeadFixture, "A half-done Create goes on with its one run") {
  runtime_["create"] = GoesOn;
  StartHead();
  const uint64_t create = Send("Create", CreateRequest());
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return fake_.spawns().size() == 1; }));
  KillHead();
  const bool ends_meanwhile = GENERATE(true, false);
  if (ends_meanwhile) fake_.EndSpawn({create, 1}, 0);
  StartHead();
  if (!ends_meanwhile) {
    Settle();
    CHECK_FALSE(Answered(create));
    fake_.EndSpawn({create, 1}, 0);
  }
  const auto created = AnswerAs<task::CreateTaskResponse>(create);
  REQUIRE(created.ok());
  CHECK(created->pid() == kFirstPid);
  CHECK(Commands() == Strings{"create"});
  CHECK(Events() == Strings{"/tasks/create"});
  CHECK(fake_.claims().at(1) == kFirstPid);
}

TEST_CASE_METHOD(HeadFixture, "A half-done Create that failed says why") {
  runtime_["create"] = GoesOn;
  StartHead();
  const uint64_t create = Send("Create", CreateRequest());
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return fake_.spawns().size() == 1; }));
  KillHead();
  REQUIRE(ReplaceFile(bundle() + "/log.json",
                      "{\"level\":\"error\",\"msg\":\"no luck\"}\n", 0600)
              .ok());
  fake_.EndSpawn({create, 1}, 1 << 8);
  StartHead();
  CHECK(Message(Answer(create).status()) ==
        "OCI runtime create failed: no luck");
  CHECK_FALSE(SavedRecord().has_container());
}

TEST_CASE_METHOD(HeadFixture, "A Create given up by its caller is undone") {
  runtime_["create"] = GoesOn;
  StartHead();
  auto request = CreateRequest();
  request.set_stdout("file://" + bundle() + "/output");
  const uint64_t create = Send("Create", request);
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return fake_.spawns().size() == 1; }));
  CHECK(fake_.streams().size() == 2);
  KillHead();
  fake_.DropRequest(create);
  fake_.EndSpawn({create, 1}, 0);
  StartHead();
  Settle();
  CHECK_FALSE(SavedRecord().has_container());
  CHECK(Events().empty());
  CHECK(fake_.streams().empty());
  CHECK_FALSE(fake_.stores_anything());
  runtime_.clear();
  CHECK(Create().ok());
}

TEST_CASE_METHOD(HeadFixture, "A half-done Start goes on with its one run") {
  runtime_["start"] = GoesOn;
  StartHead();
  REQUIRE(Create().ok());
  task::StartRequest request;
  request.set_id("c1");
  const uint64_t start = Send("Start", request);
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return fake_.spawns().size() == 2; }));
  KillHead();
  // The process has ended before the start is told.
  fake_.EndSpawn({start, 1}, 0);
  fake_.EndProcess(1, 5 << 8);
  const bool dropped = GENERATE(false, true);
  if (dropped) fake_.DropRequest(start);
  StartHead();
  if (!dropped) REQUIRE(Answer(start).ok());
  Settle();
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start", "/tasks/exit:c1"});
  CHECK(Commands() == Strings{"create", "start"});
  CHECK(AnswerAs<task::WaitResponse>(SendWait())->exit_status() == 5);
  CHECK_FALSE(fake_.KnowsToken(start));
}

TEST_CASE_METHOD(HeadFixture, "A Wait goes on over a takeover") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  const uint64_t wait = SendWait();
  Settle();
  RestartHead();
  Settle();
  CHECK_FALSE(Answered(wait));
  fake_.EndProcess(1, 9);
  CHECK(AnswerAs<task::WaitResponse>(wait)->exit_status() == 128 + 9);
}

TEST_CASE_METHOD(HeadFixture, "An exit while there is no head is told later") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  KillHead();
  fake_.EndProcess(1, 0);
  StartHead();
  Settle();
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start", "/tasks/exit:c1"});
  CHECK(fake_.claims().empty());
}

TEST_CASE_METHOD(HeadFixture, "A claim that was not read is made again") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  const uint64_t wait = SendWait();
  Settle();
  KillHead();
  fake_.LoseClaim(1);
  StartHead();
  Settle();
  REQUIRE(fake_.claims().at(1) == kFirstPid);
  fake_.EndProcess(1, 9);
  CHECK(AnswerAs<task::WaitResponse>(wait)->exit_status() == 128 + 9);
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start", "/tasks/exit:c1"});
}

TEST_CASE_METHOD(HeadFixture, "An exit that was saved is not told twice") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  fake_.EndProcess(1, 0);
  REQUIRE(Answer(SendWait()).ok());
  KillHead();
  fake_.TellAgain(1);
  StartHead();
  Settle();
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start", "/tasks/exit:c1"});
  CHECK(fake_.claims().empty());
}

TEST_CASE_METHOD(HeadFixture, "An init's exit that waits is not lost") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  REQUIRE(Exec("e1").ok());
  REQUIRE(Start("e1").ok());
  fake_.EndProcess(1, 5 << 8);
  Settle();
  RestartHead();
  const uint64_t wait = SendWait();
  Settle();
  CHECK_FALSE(Answered(wait));
  fake_.EndProcess(2, 0);
  CHECK(AnswerAs<task::WaitResponse>(wait)->exit_status() == 5);
  const Strings events = Events();
  CHECK(Strings(events.end() - 2, events.end()) ==
        Strings{"/tasks/exit:e1", "/tasks/exit:c1"});
}

TEST_CASE_METHOD(HeadFixture, "Events that no engine took are kept, in order") {
  StartHead();
  REQUIRE(Create().ok());
  RestartHead();
  REQUIRE(Start().ok());
  RestartHead();
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start"});
  uint64_t last = 0;
  for (const auto& event : head_->instance.record().outbox()) {
    CHECK(event.sequence() > last);
    last = event.sequence();
  }
}

TEST_CASE_METHOD(HeadFixture, "A Kill whose head died is told what it did") {
  runtime_["kill"] = GoesOn;
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  task::KillRequest request;
  request.set_id("c1");
  request.set_signal(SIGKILL);
  const uint64_t kill = Send("Kill", request);
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return fake_.spawns().size() == 3; }));
  KillHead();
  fake_.EndSpawn({kill, 1}, 0);
  fake_.EndProcess(1, 9);
  StartHead();
  CHECK(Answer(kill).ok());
  CHECK(Commands() == Strings{"create", "start", "kill"});
}

TEST_CASE_METHOD(HeadFixture, "A Delete cut short is done by the next head") {
  runtime_["delete"] = GoesOn;
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  fake_.EndProcess(1, 0);
  REQUIRE(Answer(SendWait()).ok());
  task::DeleteRequest request;
  request.set_id("c1");
  const uint64_t remove = Send("Delete", request);
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return fake_.spawns().size() == 3; }));
  KillHead();
  fake_.EndSpawn({remove, 1}, 0);
  StartHead();
  REQUIRE(Answer(remove).ok());
  CHECK(Commands() == Strings{"create", "start", "delete"});
  CHECK(Events().back() == "/tasks/delete");
}

TEST_CASE_METHOD(HeadFixture,
                 "A state of another container is not taken over") {
  StartHead();
  REQUIRE(Create().ok());
  KillHead();
  config_.id = "c2";
  StartHead();
  CHECK(absl::IsDataLoss(head_->loaded));
  CHECK_FALSE(head_->instance.record().has_container());
}

}  // namespace
}  // namespace hydra
