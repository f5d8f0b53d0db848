// dockerd and its containerd die, and come back to their containers.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "test/engines/docker/docker_test.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

class RestoreTest : public DockerTest {
 public:
  RestoreTest() : share_(directory() + "/share") {
    fs::create_directory(share_);
  }
  Arguments Share() const { return {"--volume", share_ + ":/share"}; }
  void Tell(const std::string& what) const {
    REQUIRE(WriteFile(share_ + "/" + what, ""));
  }
  bool Told(const std::string& what) const {
    // containerd's own shim never gets there.
    return Eventually([&] { return fs::exists(share_ + "/" + what); },
                      Milliseconds(is_hydra() ? 20'000 : 5'000));
  }

 private:
  std::string share_;
};

TEST_CASE_METHOD(RestoreTest, "Containers outlive Docker under load",
                 "[docker][engine]") {
  constexpr int kRounds = 3;
  const Arguments names = {"one", "two", "three"};
  std::vector<std::string> pids;
  for (const std::string& name : names) {
    StartDetached(name, {"/bin/sh", "-c",
                         "trap 'exit 8' TERM; while :; do echo x; sleep 0.01; "
                         "done"});
    pids.push_back(Inspect(name, ".State.Pid"));
  }
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    // Something is going on at the moment of the kill.
    Session busy(Command(
        {"exec", "one", "/bin/sh", "-c", "echo ready; while :; do :; done"}));
    REQUIRE(busy.ReadUntil("ready"));
    KillEngines();
    StartEngines();
    for (size_t i = 0; i < names.size(); ++i) {
      CAPTURE(names[i]);
      CHECK(Inspect(names[i], ".State.Pid") == pids[i]);
      const Result exec = Docker({"exec", names[i], "/bin/echo", "here"});
      CHECK(exec.status == 0);
      CHECK(exec.out == "here\n");
    }
    StartDetached("new" + std::to_string(round), {"/bin/sleep", "1000"});
  }
  for (const std::string& name : names) {
    Must({"stop", name});
    CHECK(Inspect(name, ".State.ExitCode") == "8");
  }
}

// All commands that need the container's shim.
TEST_CASE_METHOD(RestoreTest,
                 "Twelve commands reach a container of the Docker before",
                 "[docker][engine]") {
  StartDetached("it", {"/bin/sh", "-c", "while read x; do echo got-$x; done"},
                {"-i"});
  KillEngines();
  StartEngines();
  {
    Session attach(Command({"attach", "it"}));
    attach.Write("word\n");
    CHECK(attach.ReadUntil("got-word"));
  }
  CHECK(Must({"exec", "it", "/bin/echo", "here"}) == "here");
  CHECK(Lines(Must({"top", "it"})).size() == 2);
  // Docker 28 looks for the device of a network where the container has none,
  // and shows noughts for it.
  const std::string pids = TestEngine().major() < 2 ? "1" : "0";
  CHECK(Eventually([&] {
    return Must({"stats", "--no-stream", "--format", "{{.PIDs}}", "it"}) ==
           pids;
  }));
  Must({"pause", "it"});
  CHECK(Inspect("it", ".State.Status") == "paused");
  Must({"unpause", "it"});
  Session wait(Command({"wait", "it"}));
  Must({"kill", "it"});
  CHECK(wait.Wait() == 0);
  CHECK(wait.out() == "137\n");
  Must({"start", "it"});
  const std::string pid = Inspect("it", ".State.Pid");
  Must({"restart", "-t", "0", "it"});
  CHECK(Inspect("it", ".State.Pid") != pid);
  Must({"stop", "-t", "0", "it"});
  CHECK(Inspect("it", ".State.ExitCode") == "137");
  CHECK(Docker(RunArguments({"--rm"}, {"/bin/sh", "-c", "exit 3"})).status ==
        3);
}

TEST_CASE_METHOD(RestoreTest,
                 "A container that ends while Docker is down has "
                 "its status",
                 "[docker][engine]") {
  StartDetached("it",
                {"/bin/sh", "-c",
                 "until test -e /share/go; do sleep 0.05; done; exit 23"},
                Share());
  const pid_t pid = std::stoi(Inspect("it", ".State.Pid"));
  KillEngines();
  Tell("go");
  REQUIRE(Eventually([pid] { return kill(pid, 0) != 0; }));
  StartEngines();
  CHECK(WaitFor("it", ".State.Status", "exited"));
  CHECK(Inspect("it", ".State.ExitCode") == "23");
}

TEST_CASE_METHOD(RestoreTest,
                 "A restart policy holds for what ends while Docker is down",
                 "[docker][engine]") {
  StartDetached("on", {"/bin/sleep", "1000"}, {"--restart", "unless-stopped"});
  StartDetached("off", {"/bin/sleep", "1000"});
  const std::string before = Inspect("on", ".State.Pid");
  const pid_t pids[] = {std::stoi(before),
                        std::stoi(Inspect("off", ".State.Pid"))};
  KillEngines();
  for (const pid_t pid : pids) {
    REQUIRE(kill(pid, SIGKILL) == 0);
    REQUIRE(Eventually([pid] { return kill(pid, 0) != 0; }));
  }
  StartEngines();
  CHECK(Eventually([&] {
    return Inspect("on", ".State.Status") == "running" &&
           Inspect("on", ".State.Pid") != before;
  }));
  CHECK(WaitFor("off", ".State.Status", "exited"));
}

TEST_CASE_METHOD(RestoreTest,
                 "Nothing that is logged while Docker is down is lost, or "
                 "waits",
                 "[docker][engine]") {
  constexpr size_t kLines = 100'000;
  StartDetached("it",
                {"/bin/sh", "-c",
                 "until test -e /share/go; do sleep 0.05; done; "
                 "/payload/numbered-lines " +
                     std::to_string(16 * kLines) +
                     "; echo >/share/written; exec sleep 1000"},
                Share());
  KillEngines();
  Tell("go");
  CHECK(Told("written"));
  StartEngines();
  CHECK(Eventually([&] {
    return Lines(Must({"logs", "it"})).size() >= kLines;
  }));
  size_t next = 0;
  bool in_order = true;
  for (const std::string& line : Lines(Must({"logs", "it"}))) {
    in_order &= std::stoull(line) == next++;
  }
  CHECK(in_order);
  CHECK(next == kLines);
  CHECK(Inspect("it", ".State.Status") == "running");
}

}  // namespace
}  // namespace hydra::testing
