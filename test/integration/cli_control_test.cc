// hydra kill, stop, restart, pause, unpause, wait, rm, checkpoint, restore.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

const Arguments kTrapping = {
    "sh", "-c",
    "trap 'echo got-usr1' USR1; trap 'echo got-rt' RTMIN+3; trap 'echo "
    "got-term; exit 11' TERM; echo ready; while :; do sleep 0.05; done"};

TEST_CASE_METHOD(CliTest, "hydra kill", "[cli][hydra]") {
  Start("c", kTrapping);
  REQUIRE(WaitForLog("c", "ready"));
  CHECK(MustJson({"kill", "-s", "USR1", "c"})["changed"] == true);
  REQUIRE(WaitForLog("c", "got-usr1"));
  CHECK(Must({"kill", "--signal", "sigterm", "c"}) == "c\n");
  CHECK(Hydra({"wait", "c"}).status == 11);
  for (const char* signal : {"KILL", "TERM", "9", "RTMIN+3"}) {
    CHECK(MustJson({"kill", "-s", signal, "c"})["changed"] == false);
  }
  CHECK(Hydra({"kill", "-s", "BOGUS", "c"}).status == 2);
  CHECK(Hydra({"kill", "-s", "0", "c"}).status == 2);
  CHECK(Hydra({"kill"}).status == 2);
  CHECK(MustFail({"kill", "nosuch"}, 1)["error"]["container"] == "nosuch");

  Start("d", {"sleep", "1000"});
  const Json killed = MustJson({"kill", "d"});
  CHECK(killed["id"] == "d");
  CHECK(killed["namespace"] == mark());
  CHECK(killed["changed"] == true);
  CHECK(Hydra({"wait", "d"}).status == 137);

  // One that is not there keeps the others from nothing.
  Start("e", {"sleep", "1000"});
  const Result both = Hydra({"kill", "nosuch", "e"});
  CHECK(both.status == 1);
  CHECK(both.out == "e\n");
  CHECK(both.err.find("nosuch") != std::string::npos);
  CHECK(Hydra({"wait", "e"}).status == 137);
}

TEST_CASE_METHOD(CliTest, "hydra kill --all", "[cli][hydra]") {
  Start("c", {"sh", "-c",
              "trap '' TERM; sleep 1000 & echo ready; wait; echo "
              "gone; sleep 1000"});
  REQUIRE(WaitForLog("c", "ready"));
  CHECK(Must({"kill", "-s", "KILL", "c"}) == "c\n");
  Start("d", {"sh", "-c",
              "trap 'echo got' USR1; sh -c \"trap 'echo got; exit' "
              "USR1; echo ready; while :; do sleep 0.05; done\" & "
              "wait; wait; exit 3"});
  REQUIRE(WaitForLog("d", "ready"));
  CHECK(Must({"kill", "-a", "-s", "USR1", "d"}) == "d\n");
  CHECK(Hydra({"wait", "d"}).status == 3);
  CHECK(Lines(Must({"logs", "d"})).size() == 3);
}

TEST_CASE_METHOD(CliTest, "hydra stop", "[cli][hydra]") {
  Start("c", kTrapping);
  REQUIRE(WaitForLog("c", "ready"));
  const Json stopped = MustJson({"stop", "c"});
  CHECK(stopped["changed"] == true);
  CHECK(stopped["exit_status"] == 11);
  CHECK(Must({"logs", "--tail", "1", "c"}) == "got-term\n");
  const Json again = MustJson({"stop", "c"});
  CHECK(again["changed"] == false);
  CHECK(again["exit_status"] == 11);
  CHECK(Must({"stop", "c"}) == "c\n");

  Start("d", {"/payload/ignore-sigterm"});
  REQUIRE(WaitForLog("d", "ignoring"));
  CHECK(MustJson({"stop", "--time", "200ms", "d"})["exit_status"] == 137);
  Start("e", {"/payload/ignore-sigterm"});
  CHECK(MustJson({"stop", "--time", "0", "e"})["exit_status"] == 137);
  Start("f", kTrapping, {"--stop-signal", "USR1"});
  REQUIRE(WaitForLog("f", "ready"));
  CHECK(MustJson({"stop", "--time", "300ms", "f"})["exit_status"] == 137);
  CHECK(Must({"logs", "--tail", "1", "f"}) == "got-usr1\n");
  CHECK(Hydra({"stop", "--time", "x", "f"}).status == 2);
  CHECK(Hydra({"stop", "nosuch"}).status == 1);

  (void)Must(Join({"create", "--name", "g", "--rootfs", rootfs()}, kTrapping));
  // What has not begun need not be ended.
  CHECK(MustJson({"stop", "-t", "0", "g"})["changed"] == false);
  CHECK(StatusOf("g") == "created");
  CHECK(Must({"rm", "g"}) == "g\n");
}

TEST_CASE_METHOD(CliTest, "hydra stop gives several their time at once",
                 "[cli][hydra]") {
  Start("stubborn",
        {"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"});
  Start("willing", kTrapping);
  REQUIRE(WaitForLog("stubborn", "ready"));
  REQUIRE(WaitForLog("willing", "ready"));
  Session stop(Command({"stop", "-t", "1h", "stubborn", "nosuch", "willing"}),
               Options());
  CHECK(WaitForStatus("willing", "exited"));
  CHECK(StatusOf("stubborn") == "running");
  // One that is in a hurry need not wait for it.
  Must({"kill", "stubborn"});
  CHECK(stop.Wait() == 1);
  CHECK(stop.out() == "stubborn\nwilling\n");
  CHECK(stop.err().find("nosuch") != std::string::npos);
}

TEST_CASE_METHOD(CliTest, "hydra restart", "[cli][hydra]") {
  Start("c", kTrapping);
  REQUIRE(WaitForLog("c", "ready"));
  const pid_t before = PidOf("c");
  const Json restarted = MustJson({"restart", "c"});
  CHECK(restarted["exit_status_before"] == 11);
  CHECK(restarted["pid"].get<pid_t>() != before);
  CHECK(PidOf("c") == restarted["pid"]);
  CHECK(StatusOf("c") == "running");
  CHECK(kill(before, 0) != 0);
  // The same log goes on.
  REQUIRE(WaitForLog("c", "ready\ngot-term\nready\n"));
  // One that has ended, too.
  (void)Must({"kill", "c"});
  CHECK(Hydra({"wait", "c"}).status == 137);
  CHECK(Must({"restart", "-t", "0", "c"}) == "c\n");
  CHECK(StatusOf("c") == "running");
  CHECK(Hydra({"restart", "nosuch"}).status == 1);
}

TEST_CASE_METHOD(CliTest, "hydra restart that takes its time blocks nobody",
                 "[cli][hydra]") {
  Start("c", {"sh", "-c",
              "trap 'echo got-term' TERM; echo ready; while :; do sleep 0.05; "
              "done"});
  REQUIRE(WaitForLog("c", "ready"));
  const pid_t before = PidOf("c");
  Session restart(Command({"restart", "-t", "1h", "c"}), Options());
  REQUIRE(WaitForLog("c", "got-term"));
  CHECK(MustJson({"stats", "c"})["id"] == "c");
  CHECK(Must({"exec", "c", "echo", "here"}) == "here\n");
  CHECK(MustJson({"pause", "c"})["changed"] == true);
  CHECK(PidOf("c") == before);
  // Paused, it would not even be killed. Of two restarts at once each does its
  // own.
  const Json sooner = MustJson({"restart", "-t", "0", "c"});
  CHECK(sooner["exit_status_before"] == 137);
  CHECK(restart.Wait() == 0);
  REQUIRE(WaitForStatus("c", "running"));
  CHECK(PidOf("c") != before);

  Session stop(Command({"stop", "-t", "1h", "c"}), Options());
  REQUIRE(Eventually([&] {
    const std::string log = Must({"logs", "c"});
    return log.rfind("got-term") != log.find("got-term");
  }));
  CHECK(Must({"rm", "-f", "c"}) == "c\n");
  CHECK(stop.Wait() == 0);
}

TEST_CASE_METHOD(CliTest, "hydra pause and unpause", "[cli][hydra]") {
  Start("c", kTrapping);
  REQUIRE(WaitForLog("c", "ready"));
  CHECK(MustJson({"pause", "c"})["changed"] == true);
  CHECK(StatusOf("c") == "paused");
  CHECK(MustJson({"pause", "c"})["changed"] == false);
  CHECK(Hydra({"exec", "c", "true"}).status == 125);
  CHECK(MustJson({"unpause", "c"})["changed"] == true);
  CHECK(MustJson({"resume", "c"})["changed"] == false);
  CHECK(StatusOf("c") == "running");
  CHECK(Must({"pause", "c"}) == "c\n");
  CHECK(Must({"resume", "c"}) == "c\n");
  // A paused one can be ended.
  CHECK(Must({"pause", "c"}) == "c\n");
  CHECK(MustJson({"stop", "-t", "300ms", "c"})["changed"] == true);
  CHECK(StatusOf("c") == "exited");
  CHECK(MustFail({"pause", "c"}, 1)["error"]["code"] == "FAILED_PRECONDITION");
  CHECK(MustFail({"unpause", "c"}, 1)["error"]["code"] ==
        "FAILED_PRECONDITION");
}

TEST_CASE_METHOD(CliTest, "hydra wait", "[cli][hydra]") {
  Start("c", EchoingShell(), {"-i"});
  Session text(Command({"wait", "c"}), Options());
  Session json(Command({"wait", "--format", "json", "c"}), Options());
  CHECK(MustFail({"wait", "--timeout", "100ms", "c"}, 125)["error"]["code"] ==
        "DEADLINE_EXCEEDED");
  CHECK(Hydra({"attach", "c"}, "end\n").status == 5);
  CHECK(text.Wait() == 5);
  CHECK(text.out() == "5\n");
  CHECK(json.Wait() == 5);
  const std::vector<Json> objects = ParseLines(json.out());
  REQUIRE(objects.size() == 1);
  CHECK(objects[0]["exit_status"] == 5);
  CHECK(objects[0]["exited_at"] == Inspect("c")["container"]["exited_at"]);

  Start("d", {"true"});
  const Result both = Hydra({"wait", "c", "d"});
  CHECK(both.status == 0);
  CHECK(both.out == "5\n0\n");
  CHECK(Hydra({"wait", "nosuch"}).status == 125);
}

TEST_CASE_METHOD(CliTest, "hydra rm", "[cli][hydra]") {
  Start("c", {"sleep", "1000"});
  const Json error = MustFail({"rm", "c"}, 1)["error"];
  CHECK(error["code"] == "FAILED_PRECONDITION");
  CHECK(error["container"] == "c");
  CHECK(StatusOf("c") == "running");
  const Json removed = MustJson({"rm", "-f", "c"});
  CHECK(removed["changed"] == true);
  CHECK(removed["id"] == "c");
  CHECK(MustJson({"rm", "c"})["changed"] == false);
  CHECK(Must({"rm", "-f", "c"}) == "c\n");
  // The name is free at once.
  for (int i = 0; i < 3; ++i) {
    CHECK(Hydra(RunArguments({"--rm", "--name", "c"}, {"true"})).status == 0);
  }
  Start("d", {"true"});
  CHECK(Hydra({"wait", "d"}).status == 0);
  CHECK(Must({"rm", "d", "nosuch"}) == "d\nnosuch\n");
  CHECK(Must({"ps", "-aq"}).empty());
}

TEST_CASE_METHOD(CliTest, "hydra rm of one whose monitor was killed",
                 "[cli][hydra]") {
  Start("c", {"sleep", "1000"});
  const Json before = Inspect("c");
  kill(before["monitor"]["pid"].get<pid_t>(), SIGKILL);
  REQUIRE(Eventually([&] {
    return MustJson({"ps", "-a"})["status"] == "dead";
  }));
  CHECK(MustFail({"stop", "c"}, 1)["error"]["code"] == "UNAVAILABLE");
  CHECK(MustJson({"rm", "-f", "c"})["changed"] == true);
  CHECK(Must({"ps", "-aq"}).empty());
  CHECK(Eventually(
      [&] { return kill(before["container"]["pid"].get<pid_t>(), 0) != 0; }));
}

TEST_CASE_METHOD(CliTest, "hydra checkpoint and restore",
                 "[cli][hydra][checkpoint]") {
  const std::string saved = directory() + "/saved";
  CHECK(MustFail({"checkpoint", "nosuch", saved}, 1)["error"]["code"] ==
        "NOT_FOUND");
  CHECK(Hydra({"checkpoint", "c"}).status == 2);
  CHECK(MustFail({"restore", saved}, 125)["error"]["code"] == "NOT_FOUND");
  const Result check = Run({"criu", "check"});
  Start("c", {"sh", "-c",
              "i=0; while :; do echo line $i; i=$((i + 1)); sleep 0.05; done"});
  REQUIRE(WaitForLog("c", "line 3\n"));
  if (check.status != 0) {
    // It is told, and harms nothing.
    const Result refused = Hydra({"checkpoint", "c", saved});
    CHECK(refused.status == 1);
    CHECK(refused.err.find("checkpoint") != std::string::npos);
    CHECK_FALSE(fs::exists(saved + "/hydra-config.json"));
    CHECK(StatusOf("c") == "running");
    const std::vector<std::string> lines = Lines(check.err);
    HYDRA_SKIP("criu check: " +
               (lines.empty() ? "criu is not installed" : lines.back()));
  }
  CHECK(Must({"checkpoint", "c", saved}) == saved + "\n");
  CHECK(WaitForStatus("c", "exited"));
  (void)Must({"rm", "c"});
  CHECK(Must({"restore", "--name", "d", saved}) == "d\n");
  REQUIRE(WaitForLog("d", "line "));
  // It goes on where it was.
  CHECK(Must({"logs", "d"}).find("line 0\n") == std::string::npos);
  CHECK(StatusOf("d") == "running");
}

}  // namespace
}  // namespace hydra::testing
