// The order in which exits are told.

#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "test/unit/task/head_fixture.h"

namespace hydra {
namespace {

using Strings = std::vector<std::string>;

TEST_CASE_METHOD(HeadFixture,
                 "An exit before the start's end is told after it") {
  runtime_["start"] = [this](const auto&) {
    fake_.EndProcess(1, 0);
    return FakeMonitor::SpawnResult();
  };
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  REQUIRE(Answer(SendWait()).ok());
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start", "/tasks/exit:c1"});
  CHECK(State()->status() == containerd::v1::types::STOPPED);
}

TEST_CASE_METHOD(HeadFixture,
                 "An exec's exit before its start's end waits too") {
  runtime_["exec"] = [](const auto&) {
    return FakeMonitor::SpawnResult{0, std::nullopt};
  };
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  REQUIRE(Exec("e1").ok());
  task::StartRequest request;
  request.set_id("c1");
  request.set_exec_id("e1");
  const uint64_t start = Send("Start", request);
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return Commands().back() == "exec"; }));
  // The init dies meanwhile; its exit is the last all the same.
  fake_.EndProcess(1, SIGKILL);
  Settle();
  CHECK(Events().back() == "/tasks/exec-added");
  fake_.EndSpawn({start, 1}, 0);
  REQUIRE(Answer(start).ok());
  Settle();
  CHECK(Events().back() == "/tasks/exec-started:e1");
  fake_.EndProcess(2, 0);
  REQUIRE(Answer(SendWait()).ok());
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start",
                            "/tasks/exec-added", "/tasks/exec-started:e1",
                            "/tasks/exit:e1", "/tasks/exit:c1"});
}

TEST_CASE_METHOD(HeadFixture, "The init's exit waits for those of its execs") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  for (const std::string id : {"e1", "e2", "e3"}) REQUIRE(Exec(id).ok());
  REQUIRE(Start("e1").ok());
  REQUIRE(Start("e2").ok());  // e3 is never started.
  const uint64_t wait = SendWait();
  fake_.EndProcess(1, 7 << 8);
  Settle();
  CHECK_FALSE(Answered(wait));
  CHECK(State()->status() == containerd::v1::types::RUNNING);
  CHECK(State()->exit_status() == 0);
  // Saved, but the monitor keeps it until it is told.
  CHECK(SavedRecord().container().init().exit_pending());
  CHECK(fake_.claims().contains(1));
  fake_.EndProcess(2, 0);
  Settle();
  CHECK_FALSE(Answered(wait));
  fake_.EndProcess(3, 0);
  CHECK(AnswerAs<task::WaitResponse>(wait)->exit_status() == 7);
  const Strings events = Events();
  REQUIRE(events.size() >= 3);
  CHECK(Strings(events.end() - 3, events.end()) ==
        Strings{"/tasks/exit:e1", "/tasks/exit:e2", "/tasks/exit:c1"});
  CHECK(fake_.claims().empty());
}

TEST_CASE_METHOD(HeadFixture, "No exec starts once the init is gone") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  for (const std::string id : {"e1", "e2"}) REQUIRE(Exec(id).ok());
  REQUIRE(Start("e1").ok());
  fake_.EndProcess(1, 0);
  Settle();
  const auto late = Start("e2");
  CHECK(absl::IsFailedPrecondition(late.status()));
  fake_.EndProcess(2, 0);
  Settle();
  CHECK(Events().back() == "/tasks/exit:c1");
}

TEST_CASE_METHOD(
    HeadFixture,
    "Without a pid namespace the rest is killed, with one it is not") {
  const bool private_namespace = GENERATE(true, false);
  WriteSpec(private_namespace);
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  fake_.EndProcess(1, 0);
  REQUIRE(Answer(SendWait()).ok());
  Settle();
  const Strings commands = Commands();
  const bool killed =
      std::find(commands.begin(), commands.end(), "kill") != commands.end();
  CHECK(killed != private_namespace);
}

TEST_CASE_METHOD(HeadFixture, "A container that ends while paused is thawed") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  task::PauseRequest pause;
  pause.set_id("c1");
  REQUIRE(Answer(Send("Pause", pause)).ok());
  fake_.EndProcess(1, SIGKILL);
  REQUIRE(Answer(SendWait()).ok());
  Settle();
  CHECK(Commands() == Strings{"create", "start", "pause", "resume"});
}

}  // namespace
}  // namespace hydra
