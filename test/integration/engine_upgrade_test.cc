// Another version of containerd takes over the directories of the one before,
// while containers run: 1.6, 1.7, 2.x, and back.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/line_reader.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

// From the oldest to the newest, and back to the oldest.
constexpr std::array<const char*, 5> kWay = {"bookworm", "trixie", "sid",
                                             "trixie", "bookworm"};

std::string MissingOnTheWay() {
  for (const char* suite : kWay) {
    std::string missing = Engine(suite).Missing();
    if (!missing.empty()) return missing;
  }
  return {};
}

class UpgradeTest : public IntegrationTest {
 public:
  UpgradeTest() : IntegrationTest(TestRuntime(), Engine(kWay[0])) {}

  // A container that ends with `status` as soon as it is told to.
  void StartEnding(const std::string& id, int status) {
    const std::string share = containerd().directory() + "/share-" + id;
    fs::create_directory(share);
    StartDetached(id,
                  {"/bin/sh", "-c",
                   "until test -e /share/end; do sleep 0.05; done; exit " +
                       std::to_string(status)},
                  {"--null-io", "--mount",
                   "type=bind,src=" + share + ",dst=/share,options=rbind:ro"});
  }
  void TellToEnd(const std::string& id) {
    REQUIRE(WriteFile(containerd().directory() + "/share-" + id + "/end", ""));
  }
};

TEST_CASE("A container outlives engine after engine, newer and older",
          "[engine-upgrade]") {
  const std::string missing = MissingOnTheWay();
  if (!missing.empty()) HYDRA_SKIP(missing);
  UpgradeTest test;
  LineReader reader(test.containerd().directory() + "/lines");
  reader.Open();
  test.StartDetached(
      "c",
      {"/bin/sh", "-c",
       "i=0; while :; do printf '%015d\\n' $i; i=$((i + 1)); done"},
      {"--log-uri", test.containerd().directory() + "/lines"});
  const pid_t pid = test.TaskPid("c");
  test.StartEnding("step0", 40);
  for (size_t step = 1; step < kWay.size(); ++step) {
    CAPTURE(step, kWay[step]);
    test.containerd().Kill();
    reader.Read(reader.lines() + 1000);
    test.containerd().Start(Engine(kWay[step]));
    CHECK(test.TaskPid("c") == pid);
    CHECK(test.TaskStatus("c") == "RUNNING");
    test.NewEvents();
    const Result exec =
        test.Exec("c", "e", {"/bin/sh", "-c", "echo here; exit 12"});
    CHECK(exec.status == 12);
    CHECK(exec.out == "here\n");
    reader.Read(reader.lines() + 1000);
    // One that the engine before has started ends under this one.
    const std::string before = "step" + std::to_string(step - 1);
    const int status = 39 + static_cast<int>(step);
    test.TellToEnd(before);
    const auto exit = test.events().WaitFor("/tasks/exit", before);
    REQUIRE(exit.has_value());
    REQUIRE(exit->exit_status == static_cast<uint32_t>(status));
    REQUIRE(test.WaitForStatus(before, "STOPPED"));
    CHECK(test.DeleteTask(before) == status);
    test.StartEnding("step" + std::to_string(step), status + 1);
  }
  test.MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  const auto exit = test.events().WaitFor([](const TaskEvent& event) {
    return event.topic == "/tasks/exit" && event.exec_id == "c";
  });
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 137);
  CHECK(exit->pid == static_cast<uint32_t>(pid));
  REQUIRE(test.WaitForStatus("c", "STOPPED"));
  reader.Read(UINT64_MAX);
  CHECK(reader.lines() >= 8000);
  CHECK(reader.in_order());
  CHECK(reader.missing() == 0);
  CHECK(test.DeleteTask("c") == 137);
}

TEST_CASE("What ended between two engines is told by the next",
          "[engine-upgrade]") {
  const std::string missing = MissingOnTheWay();
  if (!missing.empty()) HYDRA_SKIP(missing);
  UpgradeTest test;
  for (size_t step = 1; step < kWay.size(); ++step) {
    CAPTURE(step, kWay[step]);
    test.StartEnding("c", 20 + static_cast<int>(step));
    const pid_t pid = test.TaskPid("c");
    test.containerd().Kill();
    test.TellToEnd("c");
    REQUIRE(Eventually([pid] { return kill(pid, 0) != 0; }));
    test.containerd().Start(Engine(kWay[step]));
    CHECK(test.TaskStatus("c") == "STOPPED");
    CHECK(test.DeleteTask("c") == 20 + static_cast<int>(step));
    CHECK(test.Remove("c").status == 0);
    fs::remove_all(test.containerd().directory() + "/share-c");
  }
}

}  // namespace
}  // namespace hydra::testing
