// Create to Shutdown, with one head that lives.

#include <errno.h>
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
constexpr int kExited3 = 3 << 8;  // A wait status.

TEST_CASE_METHOD(HeadFixture,
                 "A container is created, started, ends, is gone") {
  StartHead();
  const auto created = Create();
  REQUIRE(created.ok());
  CHECK(created->pid() == kFirstPid);
  CHECK(State()->status() == containerd::v1::types::CREATED);
  CHECK(fake_.claims().at(1) == kFirstPid);

  CHECK(Start()->pid() == kFirstPid);
  CHECK(State()->status() == containerd::v1::types::RUNNING);
  const uint64_t wait = SendWait();
  Settle();
  CHECK_FALSE(Answered(wait));

  fake_.EndProcess(1, kExited3);
  const auto exit = AnswerAs<task::WaitResponse>(wait);
  REQUIRE(exit.ok());
  CHECK(exit->exit_status() == 3);
  CHECK(exit->exited_at().seconds() == 1'700'000'000);
  CHECK(exit->exited_at().nanos() == 7);
  CHECK(State()->status() == containerd::v1::types::STOPPED);
  CHECK(State()->exit_status() == 3);
  CHECK(fake_.claims().empty());

  const auto deleted = Delete();
  REQUIRE(deleted.ok());
  CHECK(deleted->exit_status() == 3);
  CHECK(deleted->pid() == kFirstPid);
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start", "/tasks/exit:c1",
                            "/tasks/delete"});
  CHECK(Commands() == Strings{"create", "start", "delete"});
  CHECK(absl::IsNotFound(State().status()));
  CHECK_FALSE(SavedRecord().has_container());
}

TEST_CASE_METHOD(HeadFixture, "The runtime is called as containerd calls it") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  const Strings common = {"runc",
                          "--root",
                          directory_ / "runtime-root/blue",
                          "--log",
                          bundle() + "/log.json",
                          "--log-format",
                          "json"};
  Strings create = common;
  for (const auto& word : Strings{"create", "--bundle", bundle(), "--pid-file",
                                  bundle() + "/init.pid", "c1"}) {
    create.push_back(word);
  }
  Strings start = common;
  start.insert(start.end(), {"start", "c1"});
  REQUIRE(fake_.spawns().size() == 2);
  CHECK(fake_.spawns()[0].argv == create);
  CHECK((fake_.spawns()[0].flags & link::kSpawnAdopts) != 0);
  CHECK((fake_.spawns()[0].flags & link::kSpawnInheritsEnv) != 0);
  CHECK(fake_.spawns()[1].argv == start);
}

TEST_CASE_METHOD(HeadFixture, "A second Create is AlreadyExists") {
  StartHead();
  REQUIRE(Create().ok());
  CHECK(absl::IsAlreadyExists(Create().status()));
  CHECK(Commands() == Strings{"create"});
}

TEST_CASE_METHOD(HeadFixture, "A Create beside one in progress is refused") {
  runtime_["create"] = [](const auto&) {
    return FakeMonitor::SpawnResult{0, std::nullopt};
  };
  StartHead();
  const uint64_t first = Send("Create", CreateRequest());
  REQUIRE(
      RunUntil(head_->loop.get(), [&] { return fake_.spawns().size() == 1; }));
  CHECK(absl::IsAlreadyExists(Create().status()));
  // And nothing is visible of it.
  CHECK(absl::IsNotFound(State().status()));
  fake_.EndSpawn({first, 1}, 0);
  CHECK(Answer(first).ok());
}

TEST_CASE_METHOD(HeadFixture, "A Create for another container is refused") {
  StartHead();
  auto request = CreateRequest();
  request.set_id("c2");
  CHECK(absl::IsInvalidArgument(Answer(Send("Create", request)).status()));
  request.set_id("c1");
  request.set_bundle("relative");
  CHECK(absl::IsInvalidArgument(Answer(Send("Create", request)).status()));
}

TEST_CASE_METHOD(HeadFixture,
                 "A Create that fails says why and leaves nothing") {
  runtime_["create"] = [this](const FakeMonitor::Spawn& spawn) {
    REQUIRE(ReplaceFile(OptionOf(spawn, "--log"),
                        "{\"level\":\"error\",\"msg\":\"no such image\"}\n",
                        0600)
                .ok());
    return FakeMonitor::SpawnResult{0, 1 << 8};
  };
  StartHead();
  const auto created = Create();
  CHECK(created.status().code() == absl::StatusCode::kUnknown);
  CHECK(Message(created.status()) ==
        "OCI runtime create failed: no such image");
  CHECK(Events().empty());
  CHECK_FALSE(SavedRecord().has_container());
  CHECK(fake_.streams().empty());
  runtime_.clear();
  CHECK(Create().ok());
}

TEST_CASE_METHOD(HeadFixture,
                 "A runtime that is not there is told as Go does") {
  runtime_["create"] = [](const auto&) {
    return FakeMonitor::SpawnResult{ENOENT, std::nullopt};
  };
  StartHead();
  const std::string text = Message(Create().status());
  CHECK(text.find("exec: \"runc\": executable file not found in $PATH") !=
        std::string::npos);
}

TEST_CASE_METHOD(HeadFixture, "A created container can be deleted") {
  runtime_["delete"] = [this](const auto&) {
    fake_.EndProcess(1, SIGKILL);
    return FakeMonitor::SpawnResult();
  };
  StartHead();
  REQUIRE(Create().ok());
  const auto deleted = Delete();
  REQUIRE(deleted.ok());
  CHECK(deleted->exit_status() == 128 + SIGKILL);
  CHECK(Events() ==
        Strings{"/tasks/create", "/tasks/exit:c1", "/tasks/delete"});
}

TEST_CASE_METHOD(HeadFixture, "A running container is not deleted") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  CHECK(Message(Delete().status()) == "cannot delete a running process");
  CHECK(Message(Start().status()) == "cannot start a running process");
}

TEST_CASE_METHOD(HeadFixture, "An exec is added, started, ends, is deleted") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  REQUIRE(Exec("e1").ok());
  CHECK(absl::IsAlreadyExists(Exec("e1").status()));
  CHECK(Start("e1")->pid() == kFirstPid + 1);
  CHECK(State("e1")->status() == containerd::v1::types::RUNNING);
  const uint64_t wait = SendWait("e1");
  fake_.EndProcess(2, kExited3);
  CHECK(AnswerAs<task::WaitResponse>(wait)->exit_status() == 3);
  CHECK(Delete("e1")->exit_status() == 3);
  CHECK(absl::IsNotFound(State("e1").status()));
  CHECK(State()->status() == containerd::v1::types::RUNNING);
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start",
                            "/tasks/exec-added", "/tasks/exec-started:e1",
                            "/tasks/exit:e1"});
}

TEST_CASE_METHOD(HeadFixture, "An exec that cannot start ends its waiters") {
  runtime_["exec"] = [](const auto&) {
    return FakeMonitor::SpawnResult{0, 1 << 8};
  };
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  REQUIRE(Exec("e1").ok());
  const uint64_t wait = SendWait("e1");
  CHECK_FALSE(Start("e1").ok());
  CHECK(Answer(wait).ok());
  CHECK(Delete("e1").ok());
}

TEST_CASE_METHOD(HeadFixture, "Pause and Resume are told, and in the state") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  task::PauseRequest pause;
  pause.set_id("c1");
  REQUIRE(Answer(Send("Pause", pause)).ok());
  CHECK(State()->status() == containerd::v1::types::PAUSED);
  CHECK(Message(Answer(Send("Pause", pause)).status()) ==
        "cannot pause a paused container");
  task::ResumeRequest resume;
  resume.set_id("c1");
  REQUIRE(Answer(Send("Resume", resume)).ok());
  CHECK(State()->status() == containerd::v1::types::RUNNING);
  CHECK(Events() == Strings{"/tasks/create", "/tasks/start", "/tasks/paused",
                            "/tasks/resumed"});
}

TEST_CASE_METHOD(HeadFixture,
                 "Kill goes to the runtime, of an exec to its pid") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  REQUIRE(Exec("e1").ok());
  task::KillRequest kill;
  kill.set_id("c1");
  kill.set_exec_id("e1");
  kill.set_signal(SIGTERM);
  CHECK(Message(Answer(Send("Kill", kill)).status()) ==
        "process not created: failed precondition");
  REQUIRE(Start("e1").ok());
  REQUIRE(Answer(Send("Kill", kill)).ok());
  REQUIRE(fake_.signals().size() == 1);
  CHECK(fake_.signals()[0].process == 2);
  CHECK(fake_.signals()[0].signal == SIGTERM);
  kill.clear_exec_id();
  REQUIRE(Answer(Send("Kill", kill)).ok());
  const auto& argv = fake_.spawns().back().argv;
  CHECK(Strings(argv.begin() + 7, argv.end()) == Strings{"kill", "c1", "15"});
  fake_.EndProcess(2, 0);
  fake_.EndProcess(1, 0);
  Settle();
  CHECK(Message(Answer(Send("Kill", kill)).status()) ==
        "process already finished: not found");
}

TEST_CASE_METHOD(HeadFixture, "A Wait whose caller goes is cancelled") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  const uint64_t wait = SendWait();
  Settle();
  fake_.Cancel(wait);
  const auto answer = Answer(wait);
  CHECK(absl::IsCancelled(answer.status()));
  CHECK(Message(answer.status()) == "context canceled");
  // Those of others go on.
  const uint64_t other = SendWait();
  fake_.EndProcess(1, 0);
  CHECK(Answer(other).ok());
}

TEST_CASE_METHOD(HeadFixture, "Requests before Create are NotFound") {
  StartHead();
  CHECK(Message(State().status()) == "container not created: not found");
  CHECK(Message(Start().status()) == "container not created: not found");
  CHECK(Message(Delete().status()) == "container not created: not found");
  REQUIRE(Create().ok());
  CHECK(Message(State("e9").status()) ==
        "process does not exist e9: not found");
  CHECK(Message(Answer(SendWait("e9")).status()) ==
        "process does not exist e9: not found");
}

TEST_CASE_METHOD(HeadFixture, "Without an engine a Wait comes before Create") {
  StartHead();
  const uint64_t wait = SendWait();
  Settle();
  CHECK_FALSE(Answered(wait));
  // Nor is it told of one that could not be made.
  runtime_["create"] = [](const auto&) {
    return FakeMonitor::SpawnResult{0, 1 << 8};
  };
  CHECK_FALSE(Create().ok());
  Settle();
  CHECK_FALSE(Answered(wait));
  runtime_.clear();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  fake_.EndProcess(2, 7 << 8);
  const auto ended = AnswerAs<task::WaitResponse>(wait);
  REQUIRE(ended.ok());
  CHECK(ended->exit_status() == 7);
}

TEST_CASE_METHOD(HeadFixture,
                 "Connect names the monitor and the init process") {
  StartHead();
  REQUIRE(Create().ok());
  task::ConnectRequest request;
  request.set_id("c1");
  const auto reply = AnswerAs<task::ConnectResponse>(Send("Connect", request));
  REQUIRE(reply.ok());
  CHECK(reply->shim_pid() == 77);
  CHECK(reply->task_pid() == kFirstPid);
}

TEST_CASE_METHOD(HeadFixture, "Shutdown of a live container changes nothing") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Answer(Send("Shutdown", task::ShutdownRequest())).ok());
  CHECK_FALSE(head_->shut_down);
  CHECK(State().ok());
}

TEST_CASE_METHOD(HeadFixture,
                 "Shutdown removes what is on disk, then answers") {
  config_.engine_ttrpc_address.clear();
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  fake_.EndProcess(1, 0);
  REQUIRE(Answer(SendWait()).ok());
  REQUIRE(Delete().ok());
  CHECK(Events().empty());
  REQUIRE(Answer(Send("Shutdown", task::ShutdownRequest())).ok());
  CHECK(head_->shut_down);
  CHECK(access(config_.paths.directory.c_str(), F_OK) < 0);
}

TEST_CASE_METHOD(HeadFixture, "Stored answers do not pile up in the record") {
  config_.engine_ttrpc_address.clear();
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  for (const std::string id : {"e1", "e2", "e3"}) REQUIRE(Exec(id).ok());
  CHECK(head_->instance.record().outcomes().empty());
  CHECK(SavedRecord().outcomes_size() <= 1);
}

}  // namespace
}  // namespace hydra
