// hydra ps, events, inspect, stats, top, upgrade, version, help; and errors.

#include <signal.h>

#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

TEST_CASE_METHOD(CliTest, "hydra ps", "[cli][hydra]") {
  // Nothing, without a directory even.
  CHECK(Lines(Must({"ps"})).size() == 1);
  CHECK(MustLines({"ps", "-a"}).empty());
  Start("running", {"sleep", "1000"}, {"-l", "a=1", "-l", "b"});
  Start("ended", {"sh", "-c", "exit 3"}, {"-l", "a=2"});
  CHECK(Hydra({"wait", "ended"}).status == 3);

  CHECK(Must({"ps", "-q"}) == "running\n");
  CHECK(Must({"ps", "-aq"}) == "ended\nrunning\n");
  CHECK(Must({"ps", "-aq", "--label", "a"}) == "ended\nrunning\n");
  CHECK(Must({"ls", "-aq", "--label", "a=1"}) == "running\n");
  CHECK(Must({"ps", "-aq", "--label", "a=1", "--label", "c"}).empty());
  const std::vector<std::string> table = Lines(Must({"ps", "-a"}));
  REQUIRE(table.size() == 3);
  CHECK(table[0].find("ID") == 0);
  CHECK(table[1].find("exited (3)") != std::string::npos);
  CHECK(table[2].find("running for") != std::string::npos);
  CHECK(table[2].find("sleep 1000") != std::string::npos);
  const std::vector<Json> objects = MustLines({"ps", "-a"});
  REQUIRE(objects.size() == 2);
  CHECK(objects[0]["status"] == "exited");
  CHECK(objects[0]["exit_status"] == 3);
  CHECK(objects[1]["status"] == "running");
  CHECK(objects[1]["exit_status"].is_null());
  CHECK(objects[1]["engine"].is_null());
  CHECK(objects[1]["pid"] == PidOf("running"));
  CHECK(objects[1]["command"] == Json{"sleep", "1000"});
  CHECK(objects[1]["labels"] == Json{{"a", "1"}, {"b", ""}});
  CHECK(objects[1]["source"] == rootfs());
  CHECK(objects[1]["restart"] == "no");

  // Another namespace has names of its own.
  const std::string other = mark() + "-other";
  (void)Must(RunArguments({"-d", "--name", "running", "-n", other},
                          {"sleep", "1000"}));
  CHECK(Must({"ps", "-q"}) == "running\n");
  CHECK(Must({"ps", "-q", "-n", other}) == "running\n");
  RunOptions options;
  options.session = Options();
  const std::string program = Command({})[0];
  const Result everywhere = Run({program, "ps", "-q"}, options);
  CHECK(everywhere.out == "running\nrunning\n");
  // Which of the two?
  const Result both = Run({program, "stop", "running"}, options);
  CHECK(both.status == 1);
  CHECK(both.err.find(mark() + "/running") != std::string::npos);
  CHECK(both.err.find(other + "/running") != std::string::npos);
  CHECK(Run({program, "rm", "-f", other + "/running"}, options).status == 0);
  CHECK(Run({program, "ps", "-q"}, options).out == "running\n");
}

TEST_CASE_METHOD(CliTest, "hydra events", "[cli][hydra]") {
  Start("c", EchoingShell(), {"-i"});
  (void)Must({"exec", "c", "true"});
  const std::vector<Json> before = MustLines({"events", "c"});
  std::vector<std::string> topics;
  for (const Json& event : before) {
    topics.push_back(event["topic"]);
    CHECK(event["sequence"] == topics.size());
    CHECK(event["id"] == "c");
    CHECK(event["time"].is_string());
  }
  CHECK(topics == std::vector<std::string>{
                      "/tasks/create", "/tasks/start", "/tasks/exec-added",
                      "/tasks/exec-started", "/tasks/exit"});
  CHECK(MustLines({"events", "--from", "4", "c"}).size() == 2);
  CHECK(MustLines({"events", "--from", "1000", "c"}).empty());
  CHECK(Hydra({"events", "--from", "x", "c"}).status == 2);
  CHECK(Hydra({"events", "nosuch"}).status == 1);

  // Somebody who is away from here on, and comes back.
  Session follow(
      Command({"events", "-f", "--format", "json", "--from", "6", "c"}),
      Options());
  Session all(Command({"events", "-f"}), Options());
  CHECK(Hydra({"attach", "c"}, "end\n").status == 5);
  REQUIRE(follow.ReadUntil("/tasks/exit"));
  Start("d", {"true"});
  // Those that come while it runs, too.
  REQUIRE(all.ReadUntil(mark() + "/d /tasks/exit"));
  CHECK(all.out().find(mark() + "/c /tasks/exit process=c") !=
        std::string::npos);
  (void)Must({"rm", "c"});
  // All that it was to follow are gone.
  CHECK(follow.Wait() == 0);
  const std::vector<Json> after = ParseLines(follow.out());
  REQUIRE_FALSE(after.empty());
  CHECK(after[0]["topic"] == "/tasks/exit");
  CHECK(after[0]["exit_status"] == 5);
  CHECK(after[0]["process"] == "c");
  all.Signal(SIGTERM);
  CHECK(all.Wait() == 128 + SIGTERM);
  CHECK(Hydra({"events", "-f", "--timeout", "200ms"}).status == 0);
}

TEST_CASE_METHOD(CliTest, "hydra inspect", "[cli][hydra]") {
  Start("c", {"sleep", "1000"}, {"--restart", "on-failure:2"});
  const Json object = Inspect("c");
  CHECK(object["namespace"] == mark());
  CHECK(object["id"] == "c");
  CHECK(object["engine"].is_null());
  const Json& container = object["container"];
  CHECK(container["status"] == "running");
  CHECK(container["exit_status"].is_null());
  CHECK(container["restart"] == "on-failure:2");
  CHECK(container["restarts"] == 0);
  CHECK(container["command"] == Json{"sleep", "1000"});
  CHECK(object["monitor"]["version"] == object["head"]["version"]);
  const std::string proc =
      "/proc/" + std::to_string(object["monitor"]["pid"].get<int>());
  CHECK(ReadFile(proc + "/comm") == "hydra-monitor\n");
  const std::string text = Must({"inspect", "c"});
  CHECK(text.find("\n  status: running\n") != std::string::npos);
  CHECK(text.find("restart: on-failure:2") != std::string::npos);
  CHECK(Hydra({"inspect", "c", "nosuch"}).status == 1);
}

TEST_CASE_METHOD(CliTest, "hydra stats and top, once", "[cli][hydra]") {
  Start("c", {"sh", "-c", "sleep 1000 & while :; do :; done"},
        {"--memory", "64m", "--pids-limit", "50"});
  Start("ended", {"true"});
  CHECK(Hydra({"wait", "ended"}).status == 0);
  const Json stats = MustJson({"stats", "c"});
  CHECK(stats["id"] == "c");
  CHECK(stats["cpu_percent"].get<double>() > 1);
  CHECK(stats["memory_bytes"].get<uint64_t>() > 10'000);
  CHECK(stats["memory_limit_bytes"] == 64 << 20);
  CHECK(stats["pids_limit"] == 50);
  CHECK(stats["pids"].get<int>() >= 2);
  CHECK(stats["network_received_bytes"] == 0);
  // All that run.
  CHECK(MustLines({"stats"}).size() == 1);
  const std::vector<std::string> table = Lines(Must({"stats"}));
  REQUIRE(table.size() == 2);
  CHECK(table[0].find("CPU %") != std::string::npos);
  CHECK(table[1].find("64MiB") != std::string::npos);
  CHECK(Hydra({"stats", "nosuch"}).status == 1);

  const std::vector<Json> processes = MustLines({"top", "c"});
  REQUIRE(processes.size() == 2);
  CHECK(processes[0]["pid"] == PidOf("c"));
  CHECK(processes[0]["state"].is_string());
  CHECK(processes[1]["parent"] == PidOf("c"));
  CHECK(processes[1]["command"] == "sleep 1000");
  CHECK(Lines(Must({"top", "c"})).size() == 3);
  CHECK(Hydra({"top", "nosuch"}).status == 1);
  CHECK(Hydra({"top", "c", "d"}).status == 2);
  CHECK(Hydra({"top", "--interval", "x", "c"}).status == 2);
}

TEST_CASE_METHOD(CliTest, "hydra stats and top on a terminal",
                 "[cli][hydra][terminal]") {
  Start("c", {"sleep", "1000"});
  for (const char* verb : {"stats", "top"}) {
    Session screen(Command({verb, "--interval", "50ms", "c"}), Options(true));
    // Again and again, in the same place.
    CHECK(screen.ReadUntil([&] {
      size_t count = 0;
      for (size_t at = 0;
           (at = screen.out().find("\033[H", at)) != std::string::npos; ++at) {
        ++count;
      }
      return count >= 3;
    }));
    // Ctrl-C ends it.
    screen.Write("\x03");
    CHECK(screen.Wait() == 128 + SIGINT);
    Session once(Command({verb, "--no-stream", "c"}), Options(true));
    CHECK(once.Wait() == 0);
    CHECK(once.out().find("\033[H") == std::string::npos);
  }
  Session limited(
      Command({"stats", "--interval", "50ms", "--timeout", "200ms", "c"}),
      Options(true));
  CHECK(limited.Wait() == 0);
}

TEST_CASE_METHOD(CliTest, "hydra upgrade", "[cli][hydra][upgrade]") {
  Start("c", EchoingShell(), {"-i"});
  const Json before = Inspect("c");
  const Json tried = MustJson({"upgrade", "--dry-run", "c"});
  CHECK(tried["id"] == "c");
  CHECK(Inspect("c")["monitor"]["upgrades"] == 0);
  const Json done = MustJson({"upgrade", "c"});
  CHECK(done["result"] == "upgraded");
  const Json after = Inspect("c");
  CHECK(after["monitor"]["upgrades"] == 1);
  CHECK(after["monitor"]["pid"] == before["monitor"]["pid"]);
  CHECK(after["head"]["pid"] != before["head"]["pid"]);
  CHECK(after["container"]["pid"] == before["container"]["pid"]);
  CHECK(Hydra({"attach", "c"}, "end\n").status == 5);
  CHECK(Must({"upgrade", "--all"}).find("c") != std::string::npos);
  CHECK(Hydra({"upgrade", "--all", "c"}).status == 2);
  CHECK(Hydra({"upgrade", "--parallel", "0", "--all"}).status == 2);
}

TEST_CASE_METHOD(CliTest, "hydra version and help", "[cli][hydra]") {
  CHECK(MustJson({"version"})["version"].is_string());
  CHECK(Must({"version"}).find("hydra ") == 0);
  CHECK(Run({Command({})[0], "--version"}).status == 0);
  const Result help = Run({Command({})[0]});
  CHECK(help.status == 0);
  // Every verb, with all that it takes.
  std::set<std::string> verbs;
  for (const Json& verb : MustLines({"help"})) {
    const std::string name = verb["verb"];
    CAPTURE(name);
    verbs.insert(name);
    CHECK(help.out.find("\n  " + name) != std::string::npos);
    CHECK(verb["usage"].get<std::string>().find("hydra " + name) == 0);
    CHECK_FALSE(verb["summary"].get<std::string>().empty());
    CHECK(verb["arguments"].is_array());
    CHECK(verb["options"].is_array());
    CHECK(Must({"help", name}).find("usage: hydra " + name) == 0);
    CHECK(Must({name, "--help"}) == Must({"help", name}));
  }
  for (const char* verb :
       {"run",     "create",  "start",   "attach",     "exec",
        "kill",    "stop",    "restart", "pause",      "unpause",
        "stats",   "top",     "wait",    "ps",         "logs",
        "events",  "inspect", "rm",      "update",     "checkpoint",
        "restore", "upgrade", "version", "completion", "help"}) {
    CAPTURE(verb);
    CHECK(verbs.count(verb) == 1);
  }
  CHECK(Hydra({"help", "nosuch"}).status == 2);
  for (const char* shell : {"bash", "zsh"}) {
    CHECK(Must({"completion", shell}).find("hydra") != std::string::npos);
  }
  CHECK(Hydra({"completion", "csh"}).status == 2);
}

TEST_CASE_METHOD(CliTest, "Errors of hydra", "[cli][hydra]") {
  RunOptions options;
  options.session = Options();
  const Result verb = Run({Command({})[0], "bogus"}, options);
  CHECK(verb.status == 2);
  CHECK(verb.err.find("bogus") != std::string::npos);
  const Result flag = Hydra({"stop", "--bogus", "c"});
  CHECK(flag.status == 2);
  CHECK(flag.err.find("--bogus") != std::string::npos);
  CHECK(flag.err.find("hydra help stop") != std::string::npos);
  CHECK(Hydra({"stop"}).status == 2);
  CHECK(Hydra({"ps", "--format", "xml"}).status == 2);
  CHECK(Hydra({"ps", "extra"}).status == 2);
  CHECK(Hydra({"stop", "--timeout", "soon", "c"}).status == 2);

  const Json error = MustFail({"stop", "nosuch"}, 1)["error"];
  CHECK(error["code"] == "NOT_FOUND");
  CHECK(error["message"].get<std::string>().find("nosuch") !=
        std::string::npos);
  CHECK_FALSE(error["hint"].get<std::string>().empty());
  CHECK(error["container"] == "nosuch");
  CHECK(MustFail({"stop", "--bogus"}, 2)["error"]["code"] ==
        "INVALID_ARGUMENT");

  // Beginnings of two.
  Start("aa1", {"sleep", "1000"});
  Start("aa2", {"sleep", "1000"});
  const Json which = MustFail({"stop", "aa"}, 1)["error"];
  CHECK(which["code"] == "INVALID_ARGUMENT");
  CHECK(which["message"].get<std::string>().find("aa2") != std::string::npos);
  CHECK(MustLines({"ps"}).size() == 2);
  // Colours on a terminal, for those who want them.
  SessionOptions terminal = Options(true);
  terminal.environment.emplace_back("TERM=xterm");
  Session red(Command({"stop", "nosuch"}), terminal);
  CHECK(red.Wait() == 1);
  CHECK(red.out().find("\033[31m") != std::string::npos);
  terminal.environment.emplace_back("NO_COLOR=1");
  Session plain(Command({"stop", "nosuch"}), terminal);
  CHECK(plain.Wait() == 1);
  CHECK(plain.out().find("\033[") == std::string::npos);
  // Nobody reads: no harm done.
  Session deaf({"sh", "-c", Command({})[0] + " ps -a | true"}, Options());
  CHECK(deaf.Wait() == 0);
}

}  // namespace
}  // namespace hydra::testing
