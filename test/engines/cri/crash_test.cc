// containerd, or its successor of another version, comes back to its pods.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "test/engines/cri/cri_test.h"
#include "test/engines/cri/websocket.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

TEST_CASE_METHOD(CriTest, "A pod outlives containerd, again and again",
                 "[cri][engine]") {
  const std::string pod = RunPod();
  const std::string a = RunContainer(pod, {.name = "a"});
  const std::string b = RunContainer(pod, {.name = "b"});
  const pid_t pid = ContainerPid(a);
  REQUIRE(pid > 0);
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    CrashEngine();
    CHECK(ContainerPid(a) == pid);
    CHECK(ContainerStatus(b).state() == cri::CONTAINER_RUNNING);
    const auto result = ExecSync(a, {"/bin/sh", "-c", "echo here; exit 4"});
    CHECK(result.stdout() == "here\n");
    CHECK(result.exit_code() == 4);
  }
  const std::string c =
      RunContainer(pod, {.name = "c", .command = {"/bin/sh", "-c", "exit 9"}});
  REQUIRE(WaitForState(c, cri::CONTAINER_EXITED));
  CHECK(ContainerStatus(c).exit_code() == 9);
  StopContainer(a, 0);
  CHECK(ContainerStatus(a).exit_code() == 137);
  CHECK(ContainerStatus(b).state() == cri::CONTAINER_RUNNING);
}

TEST_CASE_METHOD(CriTest,
                 "A container that ends while containerd is down has "
                 "its status",
                 "[cri][engine]") {
  const std::string share = containerd().directory() + "/share";
  fs::create_directory(share);
  const std::string id = RunContainer(
      RunPod(), {.command = {"/bin/sh", "-c",
                             "until test -e /share/go; do sleep 0.05; done; "
                             "exit 23"},
                 .share = share});
  const pid_t pid = ContainerPid(id);
  REQUIRE(pid > 0);
  containerd().Kill();
  REQUIRE(WriteFile(share + "/go", ""));
  REQUIRE(Eventually([pid] { return kill(pid, 0) != 0; }));
  StartEngine();
  REQUIRE(WaitForState(id, cri::CONTAINER_EXITED));
  CHECK(ContainerStatus(id).exit_code() == 23);
}

TEST_CASE("A pod outlives containerd's upgrade, from 1.6 to 2",
          "[engine-upgrade]") {
  for (const char* suite : {"bookworm", "trixie", "sid"}) {
    const std::string missing = Engine(suite).Missing();
    if (!missing.empty()) HYDRA_SKIP(missing);
  }
  CriTest test(false, Engine("bookworm"));
  const std::string pod = test.RunPod();
  const std::string id = test.RunContainer(
      pod, {.command = {"/bin/sh", "-c",
                        "trap 'exit 9' TERM; while :; do echo tick; sleep 0.05;"
                        " done"}});
  const pid_t pid = test.ContainerPid(id);
  REQUIRE(pid > 0);
  for (const char* suite : {"trixie", "sid"}) {
    CAPTURE(suite);
    test.containerd().Kill();
    test.StartEngine(Engine(suite));
    CHECK(test.ContainerPid(id) == pid);
    const auto result =
        test.ExecSync(id, {"/bin/sh", "-c", "echo here; exit 4"});
    CHECK(result.stdout() == "here\n");
    CHECK(result.exit_code() == 4);
    const size_t before = test.Log("c").size();
    CHECK(Eventually([&] { return test.Log("c").size() > before; }));
    // A pod of the engine before takes new containers.
    const std::string other = test.RunContainer(
        pod, {.name = suite, .command = {"/bin/sh", "-c", "exit 5"}});
    REQUIRE(test.WaitForState(other, cri::CONTAINER_EXITED));
    CHECK(test.ContainerStatus(other).exit_code() == 5);
  }
  test.StopContainer(id, 30);
  CHECK(test.ContainerStatus(id).exit_code() == 9);
}

}  // namespace
}  // namespace hydra::testing
