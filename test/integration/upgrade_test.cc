// Monitors and heads are upgraded while their containers run.

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <thread>

#include "hydra/v1/instance.pb.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/grpc_client.h"
#include "test/integration/harness/upgrade_fixture.h"

namespace hydra::testing {
namespace {

constexpr char kService[] = "hydra.v1.Instance";

TEST_CASE_METHOD(UpgradeTest, "An instance tells what it is",
                 "[upgrade][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const v1::InspectResponse inspected = Inspect("c");
  CHECK(inspected.id() == "c");
  CHECK(inspected.namespace_() == containerd().ns());
  CHECK(inspected.monitor().pid() == Monitor("c"));
  CHECK(inspected.monitor().program() == monitor());
  CHECK(inspected.monitor().version() == inspected.head().version());
  CHECK(inspected.monitor().state_version() == 1);
  CHECK(inspected.monitor().upgrades() == 0);
  CHECK(inspected.head().generation() >= 1);
  // The engine's and ours.
  CHECK(inspected.counts().connections() == 2);
  CHECK(inspected.counts().processes() == 1);
  CHECK(inspected.counts().requests() >= 1);

  GrpcClient grpc(containerd().shim_socket("c"));
  const auto reply =
      Typed<v1::InspectResponse>(grpc.Call(kService, "Inspect", ""));
  CAPTURE(reply.message);
  REQUIRE(reply.ok());
  CHECK(reply.value.monitor().pid() == inspected.monitor().pid());
  CHECK(grpc.Call(kService, "Fly", "").code == Code::kUnimplemented);
}

TEST_CASE_METHOD(UpgradeTest, "Nobody notices an upgrade, forwards or back",
                 "[upgrade][hydra]") {
  constexpr size_t kSize = 24'000'000;
  constexpr int kRounds = 4;
  events();
  Session output(containerd().CtrCommand(RunArguments(
      "out", {"/bin/sh", "-c",
              "read -r x; /payload/numbered-lines " + std::to_string(kSize) +
                  "; read -r x; exit 33"})));
  SessionOptions with_terminal;
  with_terminal.terminal = true;
  Session terminal(
      containerd().CtrCommand(RunArguments("tty", {"/bin/sh"}, {"--rm", "-t"})),
      with_terminal);
  StartDetached("c", {"/bin/sleep", "1000"});
  Session exec(containerd().CtrCommand(ExecArguments(
      "c", "e",
      {"/bin/sh", "-c",
       "echo ready; while read -r x; do echo got $x; done; exit 8"})));
  REQUIRE(exec.ReadUntil("ready\n"));
  REQUIRE(WaitForStatus("out", "RUNNING"));
  auto shim_of_c = Shim("c");
  const uint32_t wait = SendWait(shim_of_c.get(), "c");
  uint32_t grpc_waited = 0;
  std::thread grpc_wait([&] {
    GrpcClient client(containerd().shim_socket("c"));
    grpc_waited = TaskClient(&client).Wait("c").value.exit_status();
  });
  REQUIRE(Eventually([&] { return Inspect("c").counts().requests() >= 3; }));
  std::map<std::string, pid_t> monitors;
  std::map<std::string, pid_t> inits;
  for (const char* id : {"out", "tty", "c"}) {
    monitors[id] = Monitor(id);
    inits[id] = TaskPid(id);
  }
  terminal.Write("x=0\r");
  output.Write("\n");

  for (size_t round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const bool to_next = round % 2 == 0;
    to_next ? InstallNext() : InstallThis();
    const auto reports = Upgrade();
    REQUIRE(reports.size() == 3);
    for (const auto& [id, report] : reports) {
      CAPTURE(report.dump());
      CHECK(report["result"] == "upgraded");
      CHECK(IsNext(report["monitor_from"]) != to_next);
      CHECK(IsNext(report["monitor_to"]) == to_next);
      CHECK(IsNext(report["head_from"]) != to_next);
      CHECK(IsNext(report["head_to"]) == to_next);
      CHECK(Monitor(id) == monitors[id]);
      CHECK(std::filesystem::read_symlink(
                "/proc/" + std::to_string(monitors[id]) + "/exe") == monitor());
      CHECK(TaskPid(id) == inits[id]);
    }
    const std::string number = std::to_string(round);
    exec.Write(number + "\n");
    CHECK(exec.ReadUntil("got " + number + "\n"));
    terminal.Write("echo say-$((x += 2))\r");
    CHECK(terminal.ReadUntil("say-" + std::to_string(2 * round + 2)));
    REQUIRE(output.ReadUntil([&] {
      return output.out().size() >= kSize / (kRounds + 1) * (round + 1);
    }));
    CHECK(Exec("c", "e" + number, {"/bin/true"}).status == 0);
  }
  const v1::InspectResponse inspected = Inspect("c");
  CHECK(inspected.monitor().upgrades() == kRounds);
  CHECK(inspected.head().deaths() == 0);
  CHECK(containerd().LogTail(1 << 22).find("shim disconnected") ==
        std::string::npos);

  INFO(output.out().size() << " bytes of " << kSize << " arrived");
  REQUIRE(output.ReadUntil([&] { return output.out().size() >= kSize; }));
  output.Write("\n");
  CHECK(output.Wait() == 33);
  CHECK(output.out().size() == kSize);
  // Every line, in order.
  bool whole = true;
  for (size_t i = 0; whole && i < kSize / 16; ++i) {
    char line[17];
    snprintf(line, sizeof(line), "%015zu\n", i);
    whole = output.out().compare(i * 16, 16, line) == 0;
  }
  CHECK(whole);
  terminal.Write("exit 5\r");
  CHECK(terminal.Wait() == 5);
  exec.CloseInput();
  CHECK(exec.Wait() == 8);
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  const auto waited = Typed<task_api::WaitResponse>(shim_of_c->Await(wait));
  CAPTURE(waited.message);
  REQUIRE(waited.ok());
  CHECK(waited.value.exit_status() == 137);
  grpc_wait.join();
  CHECK(grpc_waited == 137);
  CHECK(events().WaitFor("/tasks/delete", "out").has_value());
  const auto exits = events().Of("out");
  CHECK(std::count_if(exits.begin(), exits.end(), [](const TaskEvent& event) {
          return event.topic == "/tasks/exit";
        }) >= 1);
}

// A client that does nothing but call, on one connection.
TEST_CASE_METHOD(UpgradeTest, "No gRPC call is refused for an upgrade",
                 "[upgrade][grpc][hydra]") {
  constexpr uint64_t kRounds = 10;
  StartDetached("c", {"/bin/sleep", "1000"});
  std::atomic<uint64_t> calls = 0;
  std::atomic<bool> is_over = false;
  Code worst = Code::kOk;
  std::thread caller([&] {
    GrpcClient client(containerd().shim_socket("c"));
    while (!is_over && worst == Code::kOk) {
      worst = client.Call(kService, "Inspect", "").code;
      ++calls;
    }
  });
  for (uint64_t round = 0; round < kRounds; ++round) {
    const uint64_t before = calls;
    CHECK(Eventually([&] { return calls > before + 1; }));
    round % 2 == 0 ? InstallNext() : InstallThis();
    CHECK(Upgrade()["c"]["result"] == "upgraded");
  }
  is_over = true;
  caller.join();
  CAPTURE(calls);
  CHECK(worst == Code::kOk);
  CHECK(Inspect("c").monitor().upgrades() == kRounds);
}

TEST_CASE_METHOD(UpgradeTest, "What cannot be upgraded runs on",
                 "[upgrade][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const pid_t head = Inspect("c").head().pid();
  const std::string real = ReadFile(monitor()).value_or("");
  const std::string real_shim = ReadFile(shim()).value_or("");
  REQUIRE(real.size() > 5000);
  std::string foreign = real;
  foreign[18] = '\x28';  // e_machine: ARM.
  // A copy that the command can be run from, whatever is installed.
  const std::string command = shim() + "-kept";
  std::filesystem::copy_file(shim(), command);
  auto fails = [&](const std::string& text) {
    const Result result = Run({command, "upgrade", containerd().ns() + "/c"});
    CAPTURE(result.out, result.err, text);
    CHECK(result.status == 1);
    CHECK(result.out.find("failed, runs on as it was: ") != std::string::npos);
    CHECK(result.out.find(text) != std::string::npos);
    CHECK(result.out.find("What to do: ") != std::string::npos);
    const v1::InspectResponse now = Inspect("c");
    CHECK(now.monitor().upgrades() == 0);
    CHECK(now.head().pid() == head);
    CHECK(now.head().deaths() == 0);
  };
  Replace(monitor(), "rubbish");
  fails("ENOEXEC");
  Replace(monitor(), real, 0644);
  fails("EACCES");
  Replace(monitor(), foreign);
  fails("ENOEXEC");
  Replace(monitor(), real.substr(0, 5000));
  fails("hydra-monitor");
  Replace(monitor(), ReadFile("/bin/true").value_or(""));
  fails("exit status 0");
  std::filesystem::remove(monitor());
  fails("ENOENT");
  Replace(monitor(), real);
  Replace(shim(), "rubbish");
  fails("ENOEXEC");
  Replace(shim(), ReadFile("/bin/false").value_or(""));
  fails("exit status 1");
  // One that passes the trial, and yet does not serve.
  Replace(shim(),
          "#!/bin/sh\nfor last; do :; done\n"
          "[ $last = check ] && echo ok 9.9 && exit\nexit 1\n");
  const Result late = Run({command, "upgrade", containerd().ns() + "/c"});
  CAPTURE(late.out);
  CHECK(late.status == 1);
  CHECK(late.out.find("ended 3 times, went back") != std::string::npos);
  CHECK(Inspect("c").monitor().upgrades() == 0);
  CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
  Replace(shim(), real_shim);
  CHECK(Upgrade()["c"]["result"] == "upgraded");
}

TEST_CASE_METHOD(UpgradeTest, "The command says what is the matter",
                 "[upgrade][hydra]") {
  const std::string ns = containerd().ns();
  CHECK(Command({}).status == 2);
  CHECK(Command({"--help"}).status == 0);
  CHECK(Command({"--namespace", ns}).status == 0);
  CHECK(Command({ns + "/c"}).status == 1);
  StartDetached("c", {"/bin/sleep", "1000"});
  StartDetached("dead", {"/bin/sleep", "1000"});
  InstallNext();
  const auto tried = Upgrade(0, {"--dry-run"});
  CHECK(tried.at("c")["result"] == "would upgrade");
  CHECK(IsNext(tried.at("c")["monitor_to"]));
  CHECK(Inspect("c").monitor().upgrades() == 0);

  // Stopped, it listens and does not answer.
  const pid_t monitor_pid = Monitor("dead");
  REQUIRE(monitor_pid > 0);
  REQUIRE(kill(monitor_pid, SIGSTOP) == 0);
  const auto reports = Upgrade(1, {"--timeout", "2s"});
  CHECK(reports.at("c")["result"] == "upgraded");
  CHECK(reports.at("dead")["result"] == "failed");
  CHECK(reports.at("dead")["code"] == 4);
  REQUIRE(kill(monitor_pid, SIGCONT) == 0);
  // What was reported as failed does not happen later.
  CHECK(Inspect("dead").monitor().upgrades() == 0);
  CHECK(Upgrade().at("dead")["result"] == "upgraded");
  const Result text = Command({"c", "--namespace", ns});
  CAPTURE(text.out, text.err);
  CHECK(text.status == 0);
  CHECK(text.out.find(ns + "/c  upgraded ") == 0);
  CHECK(text.out.find("(pause ") != std::string::npos);
}

}  // namespace
}  // namespace hydra::testing
