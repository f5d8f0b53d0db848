// Hydra's head is killed; nobody notices.

#include <signal.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/grpc_client.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

class HeadTest : public IntegrationTest {
 public:
  // The monitor or the head of a container; 0 if there is none.
  pid_t Find(const std::string& program, const std::string& id) {
    for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
      if (process.command.find(program) != std::string::npos &&
          process.command.find(" " + id + " ") != std::string::npos) {
        return process.pid;
      }
    }
    return 0;
  }
  pid_t Head(const std::string& id) {
    const pid_t monitor = Monitor(id);
    for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
      if (process.parent == monitor &&
          process.command.find("serve") != std::string::npos) {
        return process.pid;
      }
    }
    return 0;
  }
  pid_t Monitor(const std::string& id) { return Find("hydra-monitor", id); }

  // Kills the head, and waits until it is dead, not until there is another.
  void KillHead(const std::string& id) {
    pid_t head = 0;
    // The head may have left for idleness: any call brings it back.
    REQUIRE(Eventually([&] {
      if (TaskStatus(id).empty()) return false;
      head = Head(id);
      return head != 0;
    }));
    REQUIRE(kill(head, SIGKILL) == 0);
    REQUIRE(Eventually([&] { return Head(id) != head; }));
  }
};

TEST_CASE_METHOD(HeadTest,
                 "The monitor is the container's parent, init its own",
                 "[head][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const pid_t monitor = Monitor("c");
  REQUIRE(monitor > 0);
  const pid_t init = TaskPid("c");
  for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
    if (process.pid == monitor) CHECK(process.parent == 1);
    if (process.pid == init) CHECK(process.parent == monitor);
  }
}

TEST_CASE_METHOD(HeadTest, "A killed head changes nothing for the container",
                 "[head][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  auto shim = Shim("c");
  const pid_t pid = TaskPid("c");
  const pid_t monitor = Monitor("c");
  for (int round = 0; round < 5; ++round) {
    CAPTURE(round);
    KillHead("c");
    const auto begin = std::chrono::steady_clock::now();
    const auto state = TaskClient(shim.get()).State("c");
    const auto took = std::chrono::steady_clock::now() - begin;
    CAPTURE(state.message);
    REQUIRE(state.ok());
    CHECK(state.value.pid() == static_cast<uint32_t>(pid));
    CHECK(state.value.status() == containerd::v1::types::RUNNING);
    // The promise is 100 ms; this bound only catches what hangs.
    CHECK(took < std::chrono::seconds(5));
    CHECK(TaskPid("c") == pid);
    CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
  }
  CHECK(Monitor("c") == monitor);
  CHECK(containerd().LogTail(1 << 20).find("shim disconnected") ==
        std::string::npos);
}

TEST_CASE_METHOD(HeadTest, "A pending Wait survives the head",
                 "[head][wait][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  auto shim = Shim("c");
  const uint32_t wait = SendWait(shim.get(), "c");
  REQUIRE(TaskClient(shim.get()).State("c").ok());
  KillHead("c");
  CHECK(shim->Await(wait, Milliseconds(200)).code == Code::kNoAnswer);
  CHECK(shim->connected());
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  const auto reply = Typed<task_api::WaitResponse>(shim->Await(wait));
  CAPTURE(reply.message);
  REQUIRE(reply.ok());
  CHECK(reply.value.exit_status() == 137);
}

TEST_CASE_METHOD(HeadTest, "ctr run does not notice that the head died",
                 "[head][hydra]") {
  events();
  Session session(containerd().CtrCommand(
      RunArguments("c", {"/bin/sh", "-c",
                         "echo ready; read -r x; echo got $x; read -r x;"
                         " exit 33"})));
  REQUIRE(session.ReadUntil("ready\n"));
  KillHead("c");
  session.Write("this\n");
  REQUIRE(session.ReadUntil("got this\n"));
  KillHead("c");
  session.Write("\n");
  CHECK(session.Wait() == 33);
  CHECK(events().WaitFor("/tasks/delete", "c").has_value());
  CHECK(events().Summary("c") == "create start exit=33 delete=33");
}

TEST_CASE_METHOD(HeadTest, "An exit while there is no head is not lost",
                 "[head][hydra]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  const pid_t pid = TaskPid("c");
  pid_t head = 0;
  REQUIRE(Eventually([&] {
    head = TaskStatus("c").empty() ? 0 : Head("c");
    return head != 0;
  }));
  // Stopped, the head cannot see the exit; then it dies.
  REQUIRE(kill(head, SIGSTOP) == 0);
  REQUIRE(kill(pid, SIGKILL) == 0);
  REQUIRE(Eventually([pid] { return kill(pid, 0) != 0; }));
  REQUIRE(kill(head, SIGKILL) == 0);
  const auto exit = events().WaitFor("/tasks/exit", "c");
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 137);
  CHECK(exit->pid == static_cast<uint32_t>(pid));
  CHECK(WaitForStatus("c", "STOPPED"));
  CHECK(DeleteTask("c") == 137);
}

TEST_CASE_METHOD(HeadTest, "An exec outlives the head that started it",
                 "[head][exec][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  Session session(containerd().CtrCommand(ExecArguments(
      "c", "e", {"/bin/sh", "-c", "echo ready; read -r x; exit 8"})));
  REQUIRE(session.ReadUntil("ready\n"));
  KillHead("c");
  session.Write("\n");
  CHECK(session.Wait() == 8);
}

// Runs execs one after the other until told to end: e0, e1, ...
class Execs {
 public:
  Execs(std::unique_ptr<TtrpcClient> shim, std::string id)
      : shim_(std::move(shim)), id_(std::move(id)) {}
  ~Execs() { (void)End(); }

  void Begin() {
    thread_ = std::thread([this] {
      while (!end_ && RunOne()) {
      }
    });
  }
  // One of them to its end. False if a call fails; why() says which.
  bool RunOne() {
    const std::string exec_id = "e" + std::to_string(count_);
    TaskClient task(shim_.get());
    const RawReply added = task.Exec(id_, exec_id, "exit 0");
    const auto started = task.Start(id_, exec_id);
    const auto waited = task.Wait(id_, exec_id);
    const auto deleted = task.Delete(id_, exec_id);
    why_ = exec_id + ": " + added.message + started.message + waited.message +
           deleted.message;
    if (added.code != Code::kOk || !started.ok() || !waited.ok() ||
        !deleted.ok()) {
      return false;
    }
    expected_ += " exec-added[" + exec_id + "] exec-started[" + exec_id +
                 "] exit[" + exec_id + "]=0";
    ++count_;
    return true;
  }
  // The events that those make which have run to their end.
  const std::string& End() {
    end_ = true;
    if (thread_.joinable()) thread_.join();
    return expected_;
  }
  int count() const { return count_; }
  const std::string& why() const { return why_; }

 private:
  std::unique_ptr<TtrpcClient> shim_;
  const std::string id_;
  std::thread thread_;
  std::atomic<bool> end_ = false;
  std::atomic<int> count_ = 0;
  std::string expected_;
  std::string why_;
};

TEST_CASE_METHOD(HeadTest, "Each event comes once, in order, as heads die",
                 "[head][events][hydra]") {
  constexpr size_t kKills = 20;
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  Execs execs(Shim("c"), "c");
  execs.Begin();
  size_t seen = 0;
  for (size_t kill_number = 0; kill_number < kKills; ++kill_number) {
    CAPTURE(kill_number);
    // Right after an event has come, so that its answer, the save or the next
    // event is under way; which of the three of an exec changes.
    seen += 3 + kill_number % 3;
    REQUIRE(Eventually([&] {
      const size_t count = events().Of("c").size();
      if (count < seen) return false;
      seen = count;
      return true;
    }));
    pid_t head = 0;
    REQUIRE(Eventually([&] { return (head = Head("c")) != 0; }));
    REQUIRE(kill(head, SIGKILL) == 0);
  }
  const std::string expected = execs.End();
  CAPTURE(execs.why());
  CHECK(execs.count() >= static_cast<int>(kKills));
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  REQUIRE(WaitForStatus("c", "STOPPED"));
  CHECK(DeleteTask("c") == 137);
  CHECK(events().WaitFor("/tasks/delete", "c").has_value());
  CHECK(events().Summary("c") ==
        "create start" + expected + " exit=137 delete=137");
}

TEST_CASE_METHOD(HeadTest, "An engine that was away gets each event, once",
                 "[head][engine][events][hydra]") {
  constexpr int kExecs = 12;
  events();
  // No task of containerd's, so it does not ask for it when it starts.
  BareShim shim(&containerd(), runtime(), "c", {"/bin/sleep", "1000"});
  REQUIRE(shim.Start().status == 0);
  auto client = shim.Connect();
  TaskClient task(client.get());
  REQUIRE(
      task.Call<task_api::CreateTaskResponse>("Create", shim.CreateRequest())
          .ok());
  REQUIRE(task.Start("c").ok());
  REQUIRE(events().WaitFor("/tasks/start", "c").has_value());
  containerd().Kill();
  Execs execs(shim.Connect(), "c");
  for (int i = 0; i < kExecs; ++i) {
    CAPTURE(execs.why());
    REQUIRE(execs.RunOne());
    if (i % 3 == 0) {
      pid_t head = 0;
      REQUIRE(Eventually([&] { return (head = Head("c")) != 0; }));
      REQUIRE(kill(head, SIGKILL) == 0);
    }
  }
  // Nothing is to come before there is somebody to see it.
  const pid_t monitor = Monitor("c");
  REQUIRE(kill(monitor, SIGSTOP) == 0);
  containerd().Start();
  NewEvents();
  REQUIRE(kill(monitor, SIGCONT) == 0);
  CHECK(task.Kill("c", SIGKILL).code == Code::kOk);
  REQUIRE(task.Wait("c").ok());
  REQUIRE(task.Delete("c").ok());
  (void)task.Shutdown("c");  // The shim may exit before it answers.
  CHECK(events().WaitFor("/tasks/delete", "c").has_value());
  // containerd may have died before it could answer for the start.
  std::string summary = " " + events().Summary("c");
  summary.erase(0, summary.find(" exec-added"));
  CHECK(summary == execs.End() + " exit=137 delete=137");
  CHECK(Eventually([&] { return !std::filesystem::exists(shim.socket()); }));
}

TEST_CASE_METHOD(HeadTest, "Head and engine die together",
                 "[head][engine][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const pid_t pid = TaskPid("c");
  KillHead("c");
  containerd().Kill();
  containerd().Start();
  CHECK(TaskPid("c") == pid);
  CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
}

TEST_CASE_METHOD(HeadTest, "Output flows while heads die",
                 "[head][output][hydra]") {
  constexpr size_t kSize = 20'000'000;
  Session session(containerd().CtrCommand(
      RunArguments("c", {"/bin/sh", "-c",
                         "read -r x; /payload/numbered-lines " +
                             std::to_string(kSize) + "; read -r x; exit 0"})));
  REQUIRE(WaitForStatus("c", "RUNNING"));
  session.Write("\n");
  for (int round = 0; round < 3; ++round) {
    KillHead("c");
    REQUIRE(session.ReadUntil(
        [&] { return session.out().size() >= kSize / 4 * (round + 1u); }));
  }
  const bool complete =
      session.ReadUntil([&] { return session.out().size() >= kSize; });
  INFO(session.out().size() << " bytes of " << kSize << " arrived");
  REQUIRE(complete);
  session.Write("\n");
  CHECK(session.Wait() == 0);
  CHECK(session.out().size() == kSize);
  // The last line tells whether one was lost or doubled.
  CHECK(session.out().substr(kSize - 16) == "000000001249999\n");
}

TEST_CASE_METHOD(HeadTest, "delete removes an instance that lost its monitor",
                 "[head][delete][hydra]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  const pid_t monitor = Monitor("c");
  REQUIRE(monitor > 0);
  const pid_t init = TaskPid("c");
  REQUIRE(kill(monitor, SIGKILL) == 0);
  // containerd sees the connection end, runs `delete` and publishes.
  const auto exit = events().WaitFor("/tasks/exit", "c");
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 137);
  CHECK(Eventually([init] { return kill(init, 0) != 0; }));
  CHECK(WaitForStatus("c", ""));
}

// Heads leave after a second without anything to do.
struct ShortIdleTime {
  ShortIdleTime() { setenv("HYDRA_IDLE_SECONDS", "1", 1); }
  ~ShortIdleTime() { unsetenv("HYDRA_IDLE_SECONDS"); }
};

// First, because containerd inherits it.
class RestTest : private ShortIdleTime, public HeadTest {
 public:
  void AwaitRest(const std::string& id) {
    REQUIRE(Eventually([&] { return Head(id) == 0; }));
  }

 protected:
  uint32_t waited_ = 0;
};

TEST_CASE_METHOD(RestTest, "An idle head leaves and comes back",
                 "[head][rest][hydra]") {
  events();
  Session session(containerd().CtrCommand(RunArguments(
      "c", {"/bin/sh", "-c", "read line; echo got $line; exit 9"}, {"--rm"})));
  REQUIRE(WaitForStatus("c", "RUNNING"));
  const pid_t init = TaskPid("c");
  // With ctr's Wait pending.
  AwaitRest("c");
  CHECK(Exec("c", "e", {"/bin/sh", "-c", "exit 3"}).status == 3);
  CHECK(TaskPid("c") == init);
  AwaitRest("c");
  // The exit alone brings it back.
  session.Write("hello\n");
  CHECK(session.Wait() == 9);
  CHECK(session.out().find("got hello") != std::string::npos);
  const auto deleted = events().WaitFor("/tasks/delete", "c");
  REQUIRE(deleted.has_value());
  CHECK(deleted->exit_status == 9);
}

TEST_CASE_METHOD(RestTest, "An OOM is told though the head rests",
                 "[head][rest][oom][hydra]") {
  events();
  StartDetached(
      "c", {"/bin/sh", "-c", "sleep 4; /payload/eat-memory 256; sleep 1000"},
      {"--null-io", "--memory-limit", std::to_string(32 * 1024 * 1024)});
  AwaitRest("c");
  CHECK(events().WaitFor("/tasks/oom", "c").has_value());
  CHECK(TaskStatus("c") == "RUNNING");
}

TEST_CASE_METHOD(RestTest, "A head rests though gRPC clients wait",
                 "[head][rest][grpc][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  GrpcClient grpc(containerd().shim_socket("c"));
  TaskClient task(&grpc);
  REQUIRE(task.State("c").ok());
  std::thread waiter([this] {
    GrpcClient client(containerd().shim_socket("c"));
    waited_ = TaskClient(&client).Wait("c").value.exit_status();
  });
  AwaitRest("c");
  CHECK(task.State("c").value.status() == containerd::v1::types::RUNNING);
  CHECK(task.Kill("c", SIGKILL).code == Code::kOk);
  waiter.join();
  CHECK(waited_ == 137);
}

}  // namespace
}  // namespace hydra::testing
