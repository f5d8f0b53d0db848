// Restart policies, with no engine and nobody but the instance to carry them
// out.

#include <signal.h>
#include <time.h>

#include <catch2/catch.hpp>
#include <string>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

// Of what the command prints: RFC 3339 with nine digits. Milliseconds.
int64_t TimeOf(const Json& text) {
  tm parts = {};
  const std::string time = text;
  strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  return timegm(&parts) * 1000 + std::stoll(time.substr(20, 3));
}

std::vector<Json> RestartsOf(const std::vector<Json>& events) {
  std::vector<Json> restarts;
  for (const Json& event : events) {
    if (event["topic"] == "/hydra/restart") restarts.push_back(event);
  }
  return restarts;
}

int RestartCount(const CliTest& test, const std::string& name) {
  return test.Inspect(name)["container"]["restarts"];
}

TEST_CASE_METHOD(CliTest, "Restarts on failure, so many times at most",
                 "[cli][hydra][restart]") {
  Start("c", {"sh", "-c", "echo run; exit 3"}, {"--restart", "on-failure:3"});
  // It ends for good, with nobody there.
  REQUIRE(Eventually([&] {
    const Json container = Inspect("c")["container"];
    return container["restarts"] == 3 && container["status"] == "exited" &&
           container["next_start_at"].is_null();
  }));
  CHECK(Must({"logs", "c"}) == "run\nrun\nrun\nrun\n");
  CHECK(Hydra({"wait", "c"}).status == 3);
  // Each wait is twice as long as the one before.
  const std::vector<Json> restarts = RestartsOf(MustLines({"events", "c"}));
  REQUIRE(restarts.size() == 3);
  int64_t least = 100;
  for (size_t i = 0; i < restarts.size(); ++i) {
    CHECK(restarts[i]["exit_status"] == 3);
    CHECK(restarts[i]["restarts"] == i);
    const int64_t starts_at = TimeOf(restarts[i]["starts_at"]);
    CHECK(starts_at - TimeOf(restarts[i]["exited_at"]) >= least);
    CHECK(starts_at - TimeOf(restarts[i]["time"]) <= least);
    least *= 2;
  }
  // Started by somebody, it has as many again.
  CHECK(MustJson({"start", "c"})["changed"] == true);
  CHECK(Eventually([&] { return RestartCount(*this, "c") > 4; }));

  // No failure, no restart.
  Start("d", {"true"}, {"--restart", "on-failure"});
  CHECK(Hydra({"wait", "d"}).status == 0);
  const Json done = Inspect("d")["container"];
  CHECK(done["next_start_at"].is_null());
  CHECK(done["restarts"] == 0);
}

TEST_CASE_METHOD(CliTest, "A crash loop is ended by hydra stop",
                 "[cli][hydra][restart]") {
  for (const char* policy : {"always", "unless-stopped"}) {
    CAPTURE(policy);
    Start("c", {"sh", "-c", "echo run; exit 0"}, {"--restart", policy});
    REQUIRE(Eventually([&] { return RestartCount(*this, "c") >= 2; }));
    CHECK(MustJson({"ps", "-a"})["restarts"].get<int>() >= 2);
    (void)Must({"stop", "c"});
    const Json stopped = Inspect("c")["container"];
    CHECK(stopped["status"] == "exited");
    CHECK(stopped["stopped"] == true);
    CHECK(stopped["next_start_at"].is_null());
    CHECK(MustJson({"stop", "c"})["changed"] == false);
    CHECK(RestartCount(*this, "c") == stopped["restarts"]);
    // The policy is back with the container.
    (void)Must({"start", "c"});
    const int before = stopped["restarts"];
    CHECK(Eventually([&] { return RestartCount(*this, "c") > before + 1; }));
    (void)Must({"rm", "-f", "c"});
  }
}

TEST_CASE_METHOD(CliTest, "A restart policy outlives the head and the command",
                 "[cli][hydra][restart]") {
  Session session(Command(RunArguments({"--restart", "always", "--name", "c"},
                                       {"sh", "-c", "echo run; sleep 1000"})),
                  Options());
  REQUIRE(session.ReadUntil("run"));
  const Json before = Inspect("c");
  session.Signal(SIGKILL);
  CHECK(session.Wait() == 128 + SIGKILL);
  // The head dies while nobody waits for anything, and the container after it.
  kill(before["head"]["pid"].get<pid_t>(), SIGKILL);
  kill(before["container"]["pid"].get<pid_t>(), SIGKILL);
  REQUIRE(Eventually([&] {
    const Json now = Inspect("c")["container"];
    return now["status"] == "running" &&
           now["pid"] != before["container"]["pid"];
  }));
  CHECK(WaitForLog("c", "run\nrun\n"));
  // And while it waits for the next start: some of these meet that.
  for (int i = 0; i < 3; ++i) {
    const Json now = Inspect("c");
    kill(now["container"]["pid"].get<pid_t>(), SIGKILL);
    kill(now["head"]["pid"].get<pid_t>(), SIGKILL);
    REQUIRE(Eventually([&] {
      const Json next = Inspect("c")["container"];
      return next["status"] == "running" &&
             next["pid"] != now["container"]["pid"];
    }));
  }
  // A run that was killed before a head knew of it may not be counted; the last
  // one is.
  CHECK(Eventually([&] { return RestartCount(*this, "c") > 0; }));
  // KILL by name is meant.
  CHECK(MustJson({"kill", "c"})["changed"] == true);
  const Json killed = Inspect("c")["container"];
  CHECK(killed["stopped"] == true);
  CHECK(killed["next_start_at"].is_null());
  CHECK(killed["exit_status"] == 137);
}

TEST_CASE_METHOD(CliTest, "A container that was stayed with is started again",
                 "[cli][hydra][restart]") {
  const Result result =
      Hydra(RunArguments({"--restart", "on-failure:1", "--name", "c"},
                         {"sh", "-c", "echo run; exit 3"}));
  CHECK(result.status == 3);
  CHECK(result.out == "run\n");
  CHECK(Eventually([&] { return RestartCount(*this, "c") == 1; }));
  CHECK(WaitForLog("c", "run\nrun\n"));
  REQUIRE(Eventually([&] { return StatusOf("c") == "exited"; }));
  CHECK(Must({"start", "c"}) == "c\n");
  CHECK(WaitForLog("c", "run\nrun\nrun\n"));
}

}  // namespace
}  // namespace hydra::testing
