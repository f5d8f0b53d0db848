// What the docker command does to a container.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "test/engines/docker/docker_test.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

const Arguments kSleep = {"/bin/sleep", "1000"};

SessionOptions WithTerminal() {
  SessionOptions options;
  options.terminal = true;
  return options;
}

TEST_CASE_METHOD(DockerTest, "docker run has output and status", "[docker]") {
  const Result result = Docker(RunArguments(
      {"--rm"}, {"/bin/sh", "-c", "echo out; echo err >&2; exit 42"}));
  CHECK(result.status == 42);
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
  // Docker's own statuses, by runc's words.
  CHECK(Docker(RunArguments({"--rm"}, {"/no/such"})).status == 127);
  CHECK(Docker(RunArguments({"--rm"}, {"/etc"})).status == 126);
}

TEST_CASE_METHOD(DockerTest, "docker run takes the runtime of daemon.json",
                 "[docker][hydra]") {
  if (!KnowsRuntimes(TestEngine())) {
    HYDRA_SKIP("Docker 20.10 knows no runtime but runc");
  }
  Must({"run", "-d", "--network", "none", "--name", "it", "--runtime",
        kNamedRuntime, kImageName, "/bin/sleep", "1000"});
  const std::string state = directory() + "/runc/" + containerd().ns() + "/" +
                            Inspect("it", ".Id") + "/state.json";
  CHECK(fs::exists(state));
  CHECK(Must({"exec", "it", "/bin/echo", "here"}) == "here");
}

TEST_CASE_METHOD(DockerTest, "docker run -i reads to the end", "[docker]") {
  RunOptions options;
  options.input = "some words\n";
  const Result result =
      Docker(RunArguments({"--rm", "-i"}, {"/bin/cat"}), options);
  CHECK(result.status == 0);
  CHECK(result.out == "some words\n");
}

TEST_CASE_METHOD(DockerTest, "docker exec has output and status", "[docker]") {
  StartDetached("it", kSleep);
  const Result result = Docker(
      {"exec", "it", "/bin/sh", "-c", "echo out; echo err >&2; exit 12"});
  CHECK(result.status == 12);
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
  // 126 before Docker 28.
  CHECK(Docker({"exec", "it", "/no/such"}).status >= 126);
  Session session(Command({"exec", "-it", "it", "/bin/sh"}), WithTerminal());
  session.Write("test -t 0 && echo is-a-$((40 + 2))-tty\r");
  CHECK(session.ReadUntil("is-a-42-tty"));
  session.Write("exit 6\r");
  CHECK(session.Wait() == 6);
}

TEST_CASE_METHOD(DockerTest, "docker attach talks, and attaches again",
                 "[docker]") {
  StartDetached("it", {"/bin/sh", "-c", "while read x; do echo got-$x; done"},
                {"-i"});
  for (const char* word : {"one", "two"}) {
    CAPTURE(word);
    Session session(Command({"attach", "it"}));
    session.Write(std::string(word) + "\n");
    CHECK(session.ReadUntil(std::string("got-") + word));
  }
  CHECK(Eventually([&] { return Must({"logs", "it"}) == "got-one\ngot-two"; }));
}

TEST_CASE_METHOD(DockerTest, "docker logs has every line", "[docker]") {
  constexpr size_t kLines = 50'000;
  StartDetached("it", {"/payload/numbered-lines", std::to_string(16 * kLines)});
  CHECK(Must({"wait", "it"}) == "0");
  size_t next = 0;
  bool in_order = true;
  for (const std::string& line : Lines(Must({"logs", "it"}))) {
    in_order &= std::stoull(line) == next++;
  }
  CHECK(in_order);
  CHECK(next == kLines);
}

TEST_CASE_METHOD(DockerTest, "docker kill, stop and wait", "[docker]") {
  StartDetached("killed", kSleep);
  StartDetached("polite", {"/bin/sh", "-c",
                           "trap 'exit 5' TERM; echo ready; while :; do sleep "
                           "0.05; done"});
  StartDetached("deaf", {"/payload/ignore-sigterm"});
  Session wait(Command({"wait", "killed"}));
  Must({"kill", "killed"});
  CHECK(wait.Wait() == 0);
  CHECK(wait.out() == "137\n");
  REQUIRE(Eventually([&] {
    return Must({"logs", "polite"}) == "ready" &&
           Must({"logs", "deaf"}) == "ignoring";
  }));
  Must({"stop", "polite"});
  CHECK(Inspect("polite", ".State.ExitCode") == "5");
  Must({"stop", "-t", "1", "deaf"});
  CHECK(Inspect("deaf", ".State.ExitCode") == "137");
}

TEST_CASE_METHOD(DockerTest, "docker start and restart", "[docker]") {
  StartDetached("it", kSleep);
  const std::string first = Inspect("it", ".State.Pid");
  Must({"restart", "-t", "0", "it"});
  const std::string second = Inspect("it", ".State.Pid");
  CHECK(first != second);
  Must({"kill", "it"});
  CHECK(WaitFor("it", ".State.Status", "exited"));
  Must({"start", "it"});
  CHECK(Inspect("it", ".State.Status") == "running");
  CHECK(Must({"exec", "it", "/bin/echo", "here"}) == "here");
}

TEST_CASE_METHOD(DockerTest, "docker pause and unpause", "[docker]") {
  StartDetached("it", kSleep);
  Must({"pause", "it"});
  CHECK(Inspect("it", ".State.Status") == "paused");
  CHECK(Docker({"exec", "it", "/bin/true"}).status != 0);
  Must({"unpause", "it"});
  CHECK(Inspect("it", ".State.Status") == "running");
  CHECK(Docker({"exec", "it", "/bin/true"}).status == 0);
}

TEST_CASE_METHOD(DockerTest, "docker ps, top and stats", "[docker]") {
  StartDetached("it", {"/bin/sh", "-c", "sleep 1000 & exec sleep 2000"});
  CHECK(Must({"ps", "--format", "{{.Names}} {{.State}}"}) == "it running");
  CHECK(Eventually([&] { return Lines(Must({"top", "it"})).size() == 3; }));
  CHECK(Must({"top", "it"}).find("sleep 2000") != std::string::npos);
  CHECK(Eventually([&] {
    return Must({"stats", "--no-stream", "--format", "{{.PIDs}}", "it"}) == "2";
  }));
  CHECK(Must({"stats", "--no-stream", "--format", "{{.MemUsage}}", "it"})
            .rfind("0B", 0) != 0);
}

TEST_CASE_METHOD(DockerTest, "docker update changes the limits", "[docker]") {
  StartDetached("it", kSleep, {"--memory", "64m"});
  const std::string limit = "/sys/fs/cgroup/memory/" + containerd().mark() +
                            "/" + Inspect("it", ".Id") +
                            "/memory.limit_in_bytes";
  if (!fs::exists("/sys/fs/cgroup/memory")) {
    HYDRA_SKIP("the limit is looked up in cgroups v1");
  }
  CHECK(ReadFile(limit) == std::to_string(64 << 20) + "\n");
  Must({"update", "--memory", "48m", "--memory-swap", "96m", "it"});
  CHECK(ReadFile(limit) == std::to_string(48 << 20) + "\n");
}

TEST_CASE_METHOD(DockerTest, "docker cp goes both ways", "[docker]") {
  StartDetached("it", kSleep);
  const std::string there = directory() + "/there";
  const std::string back = directory() + "/back";
  REQUIRE(WriteFile(there, "content\n"));
  Must({"cp", there, "it:/tmp/file"});
  CHECK(Must({"exec", "it", "/bin/cat", "/tmp/file"}) == "content");
  Must({"cp", "it:/tmp/file", back});
  CHECK(ReadFile(back) == "content\n");
}

TEST_CASE_METHOD(DockerTest, "docker run --restart starts again", "[docker]") {
  StartDetached("failing", {"/bin/sh", "-c", "exit 3"},
                {"--restart", "on-failure:2"});
  StartDetached("always", kSleep, {"--restart", "always"});
  REQUIRE(Eventually([&] {
    return Inspect("failing", ".RestartCount") == "2" &&
           Inspect("failing", ".State.Status") == "exited";
  }));
  CHECK(Inspect("failing", ".State.ExitCode") == "3");
  const std::string pid = Inspect("always", ".State.Pid");
  REQUIRE(kill(std::stoi(pid), SIGKILL) == 0);
  CHECK(Eventually([&] {
    const std::string next = Inspect("always", ".State.Pid");
    return next != "0" && next != pid;
  }));
}

TEST_CASE_METHOD(DockerTest, "docker inspect tells of an OOM kill",
                 "[docker]") {
  StartDetached("it", {"/payload/eat-memory", "256"}, {"--memory", "32m"});
  CHECK(Must({"wait", "it"}) == "137");
  CHECK(WaitFor("it", ".State.OOMKilled", "true"));
}

}  // namespace
}  // namespace hydra::testing
