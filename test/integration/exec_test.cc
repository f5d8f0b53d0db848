// Further processes in a running container.

#include <catch2/catch.hpp>
#include <thread>

#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

TEST_CASE_METHOD(IntegrationTest, "An exec's output and status come through",
                 "[exec][engines]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  const Result result =
      Exec("c", "e", {"/bin/sh", "-c", "echo out; echo err >&2; exit 12"});
  CHECK(result.status == 12);
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
  CHECK(events().WaitFor(
      [](const TaskEvent& event) { return event.topic == "/tasks/exit"; }));
  CHECK(events().Summary("c") ==
        "create start exec-added[e] exec-started[e] exit[e]=12");
}

TEST_CASE_METHOD(IntegrationTest, "Exec statuses cover codes and signals",
                 "[exec][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const struct {
    const char* command;
    int status;
  } cases[] = {{"exit 0", 0},
               {"exit 1", 1},
               {"exit 255", 255},
               {"kill -9 $$", 137},
               {"kill -15 $$", 143}};
  for (const auto& [command, status] : cases) {
    CAPTURE(command);
    // The id is free again as soon as the exec was deleted.
    CHECK(Exec("c", "e", {"/bin/sh", "-c", command}).status == status);
  }
}

TEST_CASE_METHOD(IntegrationTest, "An exec reads stdin up to its end",
                 "[exec][stdin][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  Session session(containerd().CtrCommand(
      ExecArguments("c", "e", {"/bin/sh", "-c", "echo ready; cat"})));
  REQUIRE(session.ReadUntil("ready\n"));
  session.Write("line\n");
  session.CloseInput();
  CHECK(session.Wait() == 0);
  CHECK(session.out() == "ready\nline\n");
}

TEST_CASE_METHOD(IntegrationTest,
                 "Exec of a program that does not exist leaves no trace",
                 "[exec][error][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const Result result = Exec("c", "e", {"/no/such/program"});
  CHECK(result.status == 1);
  CHECK(result.err.find("OCI runtime exec failed") != std::string::npos);
  CHECK(result.err.find("no such file or directory") != std::string::npos);
  CHECK(TaskStatus("c") == "RUNNING");
  CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
}

TEST_CASE_METHOD(IntegrationTest, "An exec id in use is refused",
                 "[exec][error]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  Session session(containerd().CtrCommand(ExecArguments(
      "c", "e", {"/bin/sh", "-c", "echo ready; exec sleep 1000"})));
  REQUIRE(session.ReadUntil("ready\n"));
  const Result result = Exec("c", "e", {"/bin/true"});
  CHECK(result.status == 1);
  CHECK(result.err.find("already exists") != std::string::npos);
  MustCtr({"tasks", "kill", "--exec-id", "e", "-s", "KILL", "c"});
  CHECK(session.Wait() == 137);
}

TEST_CASE_METHOD(IntegrationTest, "Execs that exit at once keep the order",
                 "[exec][events][engines]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  std::string expected = "create start";
  for (int i = 0; i < 20; ++i) {
    const std::string id = "e" + std::to_string(i);
    CAPTURE(id);
    REQUIRE(Exec("c", id, {"/bin/true"}).status == 0);
    expected +=
        " exec-added[" + id + "] exec-started[" + id + "] exit[" + id + "]=0";
  }
  REQUIRE(Eventually([&] { return events().Summary("c") == expected; },
                     Milliseconds(5'000)));
}

TEST_CASE_METHOD(IntegrationTest, "Execs run side by side", "[exec][load]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  constexpr size_t kCount = 16;
  std::vector<Result> results(kCount);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kCount; ++i) {
    threads.emplace_back([this, i, &results] {
      const std::string number = std::to_string(i);
      results[i] =
          Exec("c", "e" + number,
               {"/bin/sh", "-c", "echo " + number + "; exit " + number});
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kCount; ++i) {
    CAPTURE(i, results[i].err);
    CHECK(results[i].status == static_cast<int>(i));
    CHECK(results[i].out == std::to_string(i) + "\n");
  }
}

TEST_CASE_METHOD(IntegrationTest, "The init's exit is the last one",
                 "[exec][events][engines]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  auto shim = Shim("c");
  TaskClient task(shim.get());
  for (const char* id : {"e1", "e2", "e3"}) {
    REQUIRE(task.Exec("c", id, "exec sleep 1000").code == Code::kOk);
    REQUIRE(task.Start("c", id).ok());
  }
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  REQUIRE(events().WaitFor([](const TaskEvent& event) {
    return event.topic == "/tasks/exit" && event.exec_id == "c";
  }));
  size_t exits = 0;
  for (const TaskEvent& event : events().Of("c")) {
    if (event.topic != "/tasks/exit") continue;
    ++exits;
    CHECK(event.exit_status == 137);
    CHECK((event.exec_id == "c") == (exits == 4));
  }
  CHECK(exits == 4);
}

TEST_CASE_METHOD(IntegrationTest, "Exec in a stopped container is refused",
                 "[exec][error]") {
  StartDetached("c", {"/bin/true"});
  REQUIRE(WaitForStatus("c", "STOPPED"));
  const Result result = Exec("c", "e", {"/bin/true"});
  CHECK(result.status == 1);
  CHECK(result.err.find("cannot exec in a stopped state") != std::string::npos);
}

}  // namespace
}  // namespace hydra::testing
