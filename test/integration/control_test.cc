// What is done to a running container: signals, pause, update, figures.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/containerd/cgroups/v1/metrics.pb.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

constexpr int64_t kMebibyte = 1 << 20;

TEST_CASE_METHOD(IntegrationTest, "Kill of an exited task is NotFound",
                 "[kill][error][engines]") {
  StartDetached("c", {"/bin/true"});
  REQUIRE(WaitForStatus("c", "STOPPED"));
  const Result result = Ctr({"tasks", "kill", "c"});
  CHECK(result.status == 1);
  CHECK(result.err.find("not found") != std::string::npos);
}

TEST_CASE_METHOD(IntegrationTest, "A process that ignores SIGTERM stays",
                 "[kill]") {
  events();
  Session session(
      containerd().CtrCommand(RunArguments("c", {"/payload/ignore-sigterm"})));
  REQUIRE(session.ReadUntil("ignoring\n"));
  MustCtr({"tasks", "kill", "-s", "TERM", "c"});
  CHECK(TaskStatus("c") == "RUNNING");
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  CHECK(session.Wait() == 137);
  CHECK(events().WaitFor("/tasks/exit", "c")->exit_status == 137);
}

TEST_CASE_METHOD(IntegrationTest, "An exec is killed alone",
                 "[kill][exec][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  Session session(containerd().CtrCommand(ExecArguments(
      "c", "e", {"/bin/sh", "-c", "echo ready; exec sleep 1000"})));
  REQUIRE(session.ReadUntil("ready\n"));
  MustCtr({"tasks", "kill", "--exec-id", "e", "-s", "TERM", "c"});
  CHECK(session.Wait() == 143);
  CHECK(TaskStatus("c") == "RUNNING");
}

TEST_CASE_METHOD(IntegrationTest, "Pause freezes and resume thaws",
                 "[pause][engines]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  MustCtr({"tasks", "pause", "c"});
  CHECK(TaskStatus("c") == "PAUSED");
  const Result again = Ctr({"tasks", "pause", "c"});
  CHECK(again.status == 1);
  CHECK(again.err.find("cannot pause a paused container") != std::string::npos);
  const Result exec = Exec("c", "e", {"/bin/true"});
  CHECK(exec.status == 1);
  CHECK(exec.err.find("cannot exec in a paused state") != std::string::npos);
  MustCtr({"tasks", "resume", "c"});
  CHECK(TaskStatus("c") == "RUNNING");
  const Result resumed = Ctr({"tasks", "resume", "c"});
  CHECK(resumed.status == 1);
  CHECK(resumed.err.find("cannot resume a running process") !=
        std::string::npos);
  CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
  CHECK(events().WaitFor("/tasks/resumed", "c").has_value());
  CHECK(events().WaitFor("/tasks/paused", "c").has_value());
}

TEST_CASE_METHOD(IntegrationTest,
                 "A paused container can be killed and removed",
                 "[pause][kill][engines]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  MustCtr({"tasks", "pause", "c"});
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  // Whether a frozen process dies at once depends on the cgroup version.
  (void)Ctr({"tasks", "resume", "c"});
  const auto exit = events().WaitFor("/tasks/exit", "c");
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 137);
  REQUIRE(WaitForStatus("c", "STOPPED"));
}

TEST_CASE_METHOD(IntegrationTest, "ps lists the container's processes",
                 "[ps][engines]") {
  StartDetached("c", {"/bin/sh", "-c", "sleep 1000 & exec sleep 1000"});
  auto shim = Shim("c");
  TaskClient task(shim.get());
  REQUIRE(task.Exec("c", "e", "exec sleep 1000").code == Code::kOk);
  const auto exec = task.Start("c", "e");
  REQUIRE(exec.ok());
  const std::string pid = std::to_string(TaskPid("c"));
  std::vector<std::string> lines;
  REQUIRE(Eventually([&] {
    lines = Lines(MustCtr({"tasks", "ps", "c"}));
    return lines.size() == 4;
  }));
  bool init_listed = false;
  bool exec_listed = false;
  for (const std::string& line : lines) {
    const std::vector<std::string> words = Words(line);
    init_listed |= words[0] == pid;
    // The exec's line has its ProcessDetails.
    exec_listed |= words[0] == std::to_string(exec.value.pid()) &&
                   line.find("e") != std::string::npos;
  }
  CHECK(init_listed);
  CHECK(exec_listed);
}

TEST_CASE_METHOD(IntegrationTest, "Metrics have what the clients read",
                 "[metrics][engines]") {
  if (!std::filesystem::exists("/sys/fs/cgroup/memory")) {
    HYDRA_SKIP("the figures are compared with cgroup v1 files");
  }
  StartDetached(
      "c", {"/bin/sleep", "1000"},
      {"--null-io", "--memory-limit", std::to_string(64 * kMebibyte)});
  auto shim = Shim("c");
  TaskClient task(shim.get());
  task_api::StatsRequest request;
  request.set_id("c");
  const auto reply = task.Call<task_api::StatsResponse>("Stats", request);
  REQUIRE(reply.ok());
  CHECK(reply.value.stats().type_url() == "io.containerd.cgroups.v1.Metrics");
  io::containerd::cgroups::v1::Metrics metrics;
  REQUIRE(metrics.ParseFromString(reply.value.stats().value()));
  CHECK(metrics.pids().current() == 1);
  CHECK(metrics.cpu().usage().total() > 0);
  CHECK(metrics.cpu().has_throttling());
  CHECK(metrics.memory().usage().limit() == 64 * kMebibyte);
  CHECK(metrics.memory().usage().usage() > 0);
  CHECK(MustCtr({"tasks", "metrics", "c"}).find("pids.current") !=
        std::string::npos);
}

TEST_CASE_METHOD(IntegrationTest, "Update changes the memory limit",
                 "[update][engines]") {
  StartDetached(
      "c", {"/bin/sleep", "1000"},
      {"--null-io", "--memory-limit", std::to_string(64 * kMebibyte)});
  auto shim = Shim("c");
  TaskClient task(shim.get());
  task_api::UpdateTaskRequest request;
  request.set_id("c");
  request.mutable_resources()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources");
  const nlohmann::json resources = {{"memory", {{"limit", 48 * kMebibyte}}}};
  request.mutable_resources()->set_value(resources.dump());
  const RawReply reply = task.Do("Update", request);
  CAPTURE(reply.message);
  REQUIRE(reply.code == Code::kOk);
  const std::string limit =
      ReadFile("/sys/fs/cgroup/memory/" + containerd().ns() +
               "/c/memory.limit_in_bytes")
          .value_or("");
  CHECK(limit == std::to_string(48 * kMebibyte) + "\n");
}

TEST_CASE_METHOD(IntegrationTest, "An OOM kill is an event and status 137",
                 "[oom][engines]") {
  events();
  StartDetached(
      "c", {"/payload/eat-memory", "256"},
      {"--null-io", "--memory-limit", std::to_string(32 * kMebibyte)});
  CHECK(events().WaitFor("/tasks/oom", "c").has_value());
  const auto exit = events().WaitFor("/tasks/exit", "c");
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 137);
}

// containerd's own shim loses the event on cgroup v1 if the cgroup is gone
// before it looks (pkg/oom/v1 asks for the cgroup's state first).
TEST_CASE_METHOD(IntegrationTest,
                 "An OOM kill is an event though Delete comes at once",
                 "[oom][engines][hydra]") {
  events();
  const Result result =
      RunContainer("c", {"/payload/eat-memory", "256"},
                   {"--rm", "--memory-limit", std::to_string(32 * kMebibyte)});
  CHECK(result.status == 137);
  CHECK(events().WaitFor("/tasks/oom", "c").has_value());
}

TEST_CASE_METHOD(IntegrationTest, "An OOM kill of a child leaves init running",
                 "[oom][engines]") {
  events();
  StartDetached(
      "c", {"/bin/sh", "-c", "/payload/eat-memory 256; sleep 1000"},
      {"--null-io", "--memory-limit", std::to_string(32 * kMebibyte)});
  CHECK(events().WaitFor("/tasks/oom", "c").has_value());
  CHECK(TaskStatus("c") == "RUNNING");
}

TEST_CASE_METHOD(IntegrationTest, "Checkpoint and restore keep the process",
                 "[checkpoint]") {
  const Result check = Run({"criu", "check"});
  if (check.status != 0) {
    const std::vector<std::string> lines = Lines(check.err);
    HYDRA_SKIP("criu check: " +
               (lines.empty() ? "criu is not installed" : lines.back()));
  }
  StartDetached("c", {"/bin/sh", "-c", "while true; do sleep 1; done"});
  const std::string image = containerd().directory() + "/criu";
  MustCtr({"tasks", "checkpoint", "--exit", "--image-path", image, "c"});
  REQUIRE(WaitForStatus("c", "STOPPED"));
  MustCtr({"tasks", "rm", "c"});
  MustCtr({"tasks", "start", "-d", "--null-io", "c"});
  CHECK(TaskStatus("c") == "RUNNING");
}

}  // namespace
}  // namespace hydra::testing
