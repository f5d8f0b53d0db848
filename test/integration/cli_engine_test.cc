// The command `hydra` on containers that containerd has: while it is there,
// dead, and back.

#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/containerd.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

class EngineCli : public IntegrationTest {
 public:
  Arguments Command(const Arguments& arguments) {
    return Join({BinaryDirectory() + "/hydra", "-n", containerd().ns()},
                arguments);
  }
  Result Hydra(const Arguments& arguments, const std::string& input = {}) {
    RunOptions options;
    options.input = input;
    return Run(Command(arguments), options);
  }
  Json MustJson(const Arguments& arguments) {
    const Result result = Hydra(Join({"--format", "json"}, arguments));
    if (result.status != 0) FAIL(arguments[0] << ": " << result.err);
    return ParseLines(result.out).at(0);
  }
  std::string ErrorOf(const Arguments& arguments) {
    const Result result = Hydra(Join({"--format", "json"}, arguments));
    if (result.status == 0) FAIL(arguments[0] << " has succeeded");
    return ParseLines(result.err).at(0)["error"]["code"];
  }
};

// Everything that leaves the container running.
void Look(EngineCli* test, pid_t pid) {
  const Json listed = test->MustJson({"ps"});
  CHECK(listed["id"] == "c");
  CHECK(listed["namespace"] == test->containerd().ns());
  CHECK(listed["status"] == "running");
  CHECK(listed["pid"] == pid);
  CHECK(listed["engine"].is_string());
  const Json inspected = test->MustJson({"inspect", "c"});
  CHECK(inspected["container"]["pid"] == pid);
  CHECK(inspected["container"]["restart"] == "no");

  const Result exec =
      test->Hydra({"exec", "-i", "c", "sh", "-c", "cat; exit 4"}, "in\n");
  CHECK(exec.status == 4);
  CHECK(exec.out == "in\n");
  CHECK(test->MustJson({"pause", "c"})["changed"] == true);
  CHECK(test->MustJson({"ps"})["status"] == "paused");
  CHECK(test->MustJson({"unpause", "c"})["changed"] == true);
  CHECK(test->MustJson({"stats", "c"})["pids"].get<int>() >= 1);
  const std::vector<Json> processes =
      ParseLines(test->Hydra({"--format", "json", "top", "c"}).out);
  // In the order of pids, which begin again at some time.
  CHECK(
      std::any_of(processes.begin(), processes.end(),
                  [&](const Json& process) { return process["pid"] == pid; }));
  CHECK(test->Hydra({"wait", "--timeout", "50ms", "c"}).status == 125);
  CHECK(test->MustJson({"update", "--pids-limit", "77", "c"})["changed"] ==
        true);
  CHECK(test->MustJson({"start", "c"})["changed"] == false);

  // A container of containerd's keeps no log: what comes from now on is seen.
  Session logs(test->Command({"logs", "-f", "c"}));
  Session attached(test->Command({"attach", "c"}));
  REQUIRE(Eventually([&] {
    CHECK(test->Hydra({"kill", "-s", "USR1", "c"}).status == 0);
    const bool seen[] = {logs.ReadUntil("got-usr1", Milliseconds(200)),
                         attached.ReadUntil("got-usr1", Milliseconds(200))};
    return seen[0] && seen[1];
  }));

  // What is the engine's to do.
  CHECK(test->ErrorOf({"rm", "c"}) == "FAILED_PRECONDITION");
  CHECK(test->ErrorOf({"rm", "-f", "c"}) == "FAILED_PRECONDITION");
  CHECK(test->MustJson({"ps"})["pid"] == pid);
}

const Arguments kTrapping = {
    "/bin/sh", "-c",
    "trap 'echo got-usr1' USR1; trap 'exit 11' TERM; echo ready; while :; do "
    "sleep 0.05; done"};

TEST_CASE_METHOD(EngineCli, "hydra on a container of containerd's",
                 "[cli][hydra][engine]") {
  StartDetached("c", kTrapping, {});
  const pid_t pid = TaskPid("c");
  Look(this, pid);
  containerd().Kill();
  Look(this, pid);
  containerd().Start();
  Look(this, pid);
  CHECK(TaskStatus("c") == "RUNNING");

  Session waits(Command({"wait", "c"}));
  Session follows(Command({"events", "-f", "c"}));
  REQUIRE(follows.ReadUntil("/tasks/start"));
  const Json stopped = MustJson({"stop", "c"});
  CHECK(stopped["changed"] == true);
  CHECK(stopped["exit_status"] == 11);
  CHECK(waits.Wait() == 11);
  CHECK(follows.ReadUntil("/tasks/exit process=c"));
  // containerd has been told.
  CHECK(WaitForStatus("c", "STOPPED"));
  CHECK(MustJson({"kill", "c"})["changed"] == false);
  CHECK(MustJson({"stop", "c"})["changed"] == false);
  CHECK(ErrorOf({"start", "c"}) == "FAILED_PRECONDITION");
  CHECK(ErrorOf({"restart", "c"}) == "FAILED_PRECONDITION");
  CHECK(ErrorOf({"rm", "c"}) == "FAILED_PRECONDITION");
  CHECK(DeleteTask("c") == 11);
}

TEST_CASE_METHOD(EngineCli, "hydra kill and restart beside containerd",
                 "[cli][hydra][engine]") {
  StartDetached("c", kTrapping);
  const pid_t pid = TaskPid("c");
  const Json restarted = MustJson({"restart", "-t", "0", "c"});
  CHECK(restarted["pid"].get<pid_t>() != pid);
  CHECK(TaskStatus("c") == "RUNNING");
  CHECK(MustJson({"ps"})["restarts"] == 1);
  // Nobody starts it again when it ends by itself: that is the engine's.
  kill(restarted["pid"].get<pid_t>(), SIGKILL);
  CHECK(Hydra({"wait", "c"}).status == 137);
  CHECK(WaitForStatus("c", "STOPPED"));
  const Json container = MustJson({"inspect", "c"})["container"];
  CHECK(container["next_start_at"].is_null());
  CHECK(container["restarts"] == 1);
  CHECK(DeleteTask("c") == 137);
  CHECK(Eventually([&] { return Hydra({"ps", "-aq"}).out.empty(); }));

  StartDetached("d", kTrapping);
  CHECK(MustJson({"kill", "d"})["changed"] == true);
  CHECK(Hydra({"wait", "d"}).status == 137);
}

}  // namespace
}  // namespace hydra::testing
