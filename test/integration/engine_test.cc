// containerd crashes and comes back while containers run.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

TEST_CASE_METHOD(IntegrationTest, "A container survives the engine's crash",
                 "[engine][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const pid_t pid = TaskPid("c");
  REQUIRE(pid > 0);
  containerd().Kill();
  CHECK(kill(pid, 0) == 0);
  containerd().Start();
  CHECK(TaskPid("c") == pid);
  CHECK(TaskStatus("c") == "RUNNING");
  const Result exec = Exec("c", "e", {"/bin/echo", "here"});
  CHECK(exec.status == 0);
  CHECK(exec.out == "here\n");
  NewEvents();
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  const auto exit = events().WaitFor("/tasks/exit", "c");
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 137);
  CHECK(exit->pid == static_cast<uint32_t>(pid));
  REQUIRE(WaitForStatus("c", "STOPPED"));
  CHECK(DeleteTask("c") == 137);
}

TEST_CASE_METHOD(IntegrationTest, "An orderly stop leaves containers running",
                 "[engine][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const pid_t pid = TaskPid("c");
  containerd().Stop();
  CHECK(kill(pid, 0) == 0);
  containerd().Start();
  CHECK(TaskPid("c") == pid);
  CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
}

TEST_CASE_METHOD(IntegrationTest,
                 "An exit while the engine is down is reported afterwards",
                 "[engine][engines]") {
  const std::string stop = containerd().directory() + "/stop";
  std::filesystem::create_directory(stop);
  StartDetached("c",
                {"/bin/sh", "-c",
                 "until test -e /stop/now; do sleep 0.05; done; exit 23"},
                {"--null-io", "--mount",
                 "type=bind,src=" + stop + ",dst=/stop,options=rbind:ro"});
  const pid_t pid = TaskPid("c");
  containerd().Kill();
  std::filesystem::create_directory(stop + "/now");
  // Gone, or a zombie for as long as its shim has not looked.
  REQUIRE(Eventually([pid] { return kill(pid, 0) != 0; }));
  containerd().Start();
  NewEvents();
  REQUIRE(TaskStatus("c") == "STOPPED");
  CHECK(DeleteTask("c") == 23);
  const auto gone = events().WaitFor("/tasks/delete", "c");
  REQUIRE(gone.has_value());
  CHECK(gone->exit_status == 23);
}

TEST_CASE_METHOD(IntegrationTest,
                 "A pending Wait is answered across the engine's restart",
                 "[engine][wait][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  auto shim = Shim("c");
  const uint32_t wait = SendWait(shim.get(), "c");
  containerd().Kill();
  containerd().Start();
  CHECK(shim->Await(wait, Milliseconds(50)).code == Code::kNoAnswer);
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  const auto reply = Typed<task_api::WaitResponse>(shim->Await(wait));
  REQUIRE(reply.ok());
  CHECK(reply.value.exit_status() == 137);
}

TEST_CASE_METHOD(IntegrationTest,
                 "An exec survives the engine's crash and is reported",
                 "[engine][exec][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  auto shim = Shim("c");
  TaskClient task(shim.get());
  REQUIRE(task.Exec("c", "e", "exec sleep 1000").code == Code::kOk);
  const auto started = task.Start("c", "e");
  REQUIRE(started.ok());
  const uint32_t wait = SendWait(shim.get(), "c", "e");
  containerd().Kill();
  containerd().Start();
  CHECK(kill(static_cast<pid_t>(started.value.pid()), 0) == 0);
  MustCtr({"tasks", "kill", "--exec-id", "e", "-s", "TERM", "c"});
  const auto reply = Typed<task_api::WaitResponse>(shim->Await(wait));
  REQUIRE(reply.ok());
  CHECK(reply.value.exit_status() == 143);
  CHECK(task.Delete("c", "e").value.exit_status() == 143);
}

TEST_CASE_METHOD(IntegrationTest, "Containers survive engine after engine",
                 "[engine]") {
  for (const char* id : {"a", "b", "c"}) {
    StartDetached(id, {"/bin/sleep", "1000"});
  }
  for (int round = 0; round < 5; ++round) {
    CAPTURE(round);
    containerd().Kill();
    containerd().Start();
    for (const char* id : {"a", "b", "c"}) {
      CAPTURE(id);
      REQUIRE(TaskStatus(id) == "RUNNING");
    }
  }
  CHECK(Exec("b", "e", {"/bin/true"}).status == 0);
}

}  // namespace
}  // namespace hydra::testing
