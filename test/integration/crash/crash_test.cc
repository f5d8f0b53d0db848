// The head is killed at every point where it changes the world, once each, and
// at pairs of points; the container's life must be as if it had not been.

#include <signal.h>

#include <catch2/catch.hpp>
#include <string>

#include "test/integration/crash/crash_fixture.h"
#include "test/integration/crash/life.h"

namespace hydra::testing {
namespace {

TEST_CASE_METHOD(CrashTest, "A head killed anywhere: pipes", "[crash]") {
  Scenario scenario;
  scenario.shell =
      "read -r x; echo got $x; echo oops >&2; cat; exec sleep 1000";
  scenario.steps = [this](Life& life) {
    life.Input("hello\n");
    life.Create(rootfs());
    life.State();
    life.Start();
    life.Output("got hello\n");
    life.Input("from exec\n", "e");
    life.Exec("e", "read -r x; echo read $x; cat >&2; exit 7");
    life.Start("e");
    life.Input("the rest\n", "e");
    life.CloseInput("e");
    life.Exit("e");
    life.End("e");
    life.State("e");
    life.Delete("e");
    life.Input("last\n");
    life.CloseInput();
    life.Output("last\n");
    life.State();
    life.Kill(SIGKILL);
    life.Exit();
    life.End();
    life.State();
    life.Delete();
  };
  TryEach(scenario, {
                        "shim: 0",
                        "create: ok",
                        "state: ok CREATED status 0",
                        "start: ok",
                        "output: 'got hello\\n'",
                        "exec e: ok",
                        "start e: ok",
                        "close input e: ok",
                        "wait e: ok status 7",
                        "out e: 'read from exec\\n'",
                        "err e: 'the rest\\n'",
                        "state e: ok STOPPED status 7",
                        "delete e: ok status 7",
                        "close input: ok",
                        "output: 'last\\n'",
                        "state: ok RUNNING status 0",
                        "kill: ok",
                        "wait: ok status 137",
                        "out: 'got hello\\nlast\\n'",
                        "err: 'oops\\n'",
                        "state: ok STOPPED status 137",
                        "delete: ok status 137",
                        "shutdown: ok",
                        "leftovers: none",
                        "files: address config.json init.pid log log.json "
                        "options.json rootfs runtime",
                        "events: create start exec-added[e] exec-started[e] "
                        "exit[e]=7 exit=137 delete=137",
                    });
}

TEST_CASE_METHOD(CrashTest, "A head killed anywhere: terminals", "[crash]") {
  Scenario scenario;
  scenario.terminal = true;
  scenario.shell = "read -r x; echo got $x; read -r x; exit 4";
  scenario.steps = [this](Life& life) {
    life.Input("hello\n");
    life.Create(rootfs());
    life.Start();
    life.Output("got hello\r\n");
    life.Resize();
    life.Exec("t", "read -r x; echo read $x; exec sleep 1000", true);
    life.Start("t");
    life.Resize("t");
    life.Input("from exec\n", "t");
    life.Output("read from exec\r\n", "t");
    life.Kill(SIGTERM, "t");
    life.Exit("t");
    life.End("t");
    life.Delete("t");
    life.Input("the end\n");
    life.Exit();
    life.End();
    life.State();
    life.Delete();
  };
  TryEach(scenario,
          {
              "shim: 0",
              "create: ok",
              "start: ok",
              "output: 'got hello\\r\\n'",
              "resize: ok",
              "exec t: ok",
              "start t: ok",
              "resize t: ok",
              "output t: 'read from exec\\r\\n'",
              "kill t: ok",
              "wait t: ok status 143",
              "out t: 'from exec\\r\\nread from exec\\r\\n'",
              "delete t: ok status 143",
              "wait: ok status 4",
              "out: 'hello\\r\\ngot hello\\r\\nthe end\\r\\n'",
              "state: ok STOPPED status 4",
              "delete: ok status 4",
              "shutdown: ok",
              "leftovers: none",
              "files: address config.json init.pid log log.json options.json "
              "rootfs runtime",
              "events: create start exec-added[t] exec-started[t] exit[t]=143 "
              "exit=4 delete=4",
          });
}

TEST_CASE_METHOD(CrashTest, "A head killed anywhere: a logger and a pause",
                 "[crash]") {
  Scenario scenario;
  scenario.shell = "echo one; echo two >&2; exec sleep 1000";
  scenario.steps = [this](Life& life) {
    life.CreateWithLogger(rootfs());
    life.Start();
    life.Logged("one\ntwo\n");
    life.Pause();
    life.State();
    life.Resume();
    // Killed by the container's end, and told before that.
    life.Exec("e", "exec sleep 1000");
    life.Start("e");
    life.Kill(SIGKILL);
    life.Exit("e");
    life.End("e");
    life.Exit();
    life.Delete("e");
    life.Delete();
    life.LoggedInAll();
  };
  TryEach(scenario,
          {
              "shim: 0",
              "create: ok",
              "start: ok",
              "logged: 'one\\ntwo\\n'",
              "pause: ok",
              "state: ok PAUSED status 0",
              "resume: ok",
              "exec e: ok",
              "start e: ok",
              "kill: ok",
              "wait e: ok status 137",
              "out e: ''",
              "err e: ''",
              "wait: ok status 137",
              "delete e: ok status 137",
              "delete: ok status 137",
              "logged in all: 'one\\ntwo\\n'",
              "shutdown: ok",
              "leftovers: none",
              "files: address config.json init.pid log log.json options.json "
              "rootfs runtime",
              "events: create start paused resumed exec-added[e] "
              "exec-started[e] exit[e]=137 exit=137 delete=137",
          });
}

// What runc says of a program that is not there.
constexpr char kNotThere[] =
    "unable to start container process: exec: \"/bin/is-not-there\": stat "
    "/bin/is-not-there: no such file or directory";

TEST_CASE_METHOD(CrashTest, "A head killed anywhere: a Create that fails",
                 "[crash]") {
  Scenario scenario;
  scenario.steps = [this](Life& life) {
    life.CreateNothing(rootfs());
    life.State();
  };
  TryEach(scenario,
          {
              "shim: 0",
              std::string("create: code 2 OCI runtime create failed: runc "
                          "create failed: ") +
                  kNotThere,
              "state: code 5 container not created: not found",
              "shutdown: ok",
              "leftovers: none",
              "files: address config.json log log.json options.json rootfs "
              "runtime",
              "events:",
          });
}

TEST_CASE_METHOD(CrashTest, "A head killed anywhere: what never ran",
                 "[crash]") {
  Scenario scenario;
  scenario.shell = "exec sleep 1000";
  scenario.before = [this](Life& life) { life.Create(rootfs()); };
  scenario.steps = [](Life& life) {
    life.ExecNothing("e");
    life.Start("e");
    life.State("e");
    life.Delete("e");
    life.Exec("f", "exit 0");
    life.Delete("f");
    life.Delete();
  };
  TryEach(scenario,
          {
              "shim: 0",
              "create: ok",
              "exec e: ok",
              std::string(
                  "start e: code 2 OCI runtime exec failed: exec failed: ") +
                  kNotThere,
              "state e: ok CREATED status 0",
              "delete e: ok status 0",
              "exec f: ok",
              "delete f: ok status 0",
              "delete: ok status 137",
              "shutdown: ok",
              "leftovers: none",
              "files: address config.json init.pid log log.json options.json "
              "rootfs runtime",
              "events: create exec-added[e] exec-added[f] exit=137 delete=137",
          });
}

TEST_CASE_METHOD(CrashTest, "A Create whose caller hung up is undone",
                 "[crash]") {
  Scenario scenario;
  scenario.shell = "echo out; exec sleep 1000";
  const auto hang_up = [&](bool opened) {
    scenario.steps = [this, opened](Life& life) {
      life.CreateAndHangUp(rootfs());
      // They end when it is undone.
      if (opened) life.End();
      life.State();
      life.Create(rootfs());
      life.Start();
      life.Kill(SIGKILL);
      life.Exit();
      life.Delete();
    };
    Story story = {"shim: 0"};
    if (opened) story.insert(story.end(), {"out: ''", "err: ''"});
    story.insert(
        story.end(),
        {
            "state: code 5 container not created: not found",
            "create: ok",
            "start: ok",
            "kill: ok",
            "wait: ok status 137",
            "delete: ok status 137",
            "shutdown: ok",
            "leftovers: none",
            "files: address config.json init.pid log log.json options.json "
            "rootfs runtime",
            "events: create start exit=137 delete=137",
        });
    return story;
  };
  const Story before = hang_up(false);
  TryOnly(scenario, {{"mount.mounted", 1}, {"link.sent store", 1}}, before);
  const Story after = hang_up(true);
  TryOnly(scenario,
          {
              {"link.sent stream-add", 3},
              {"link.sent spawn", 1},
              {"runtime.ended", 1},
              {"link.sent claim", 1},
              {"state.overwrite", 1},
          },
          after);
}

// Between creation and end, the least that there can be.
Scenario Short(const std::string& rootfs) {
  Scenario scenario;
  scenario.shell = "exec sleep 1000";
  scenario.before = [rootfs](Life& life) {
    life.Create(rootfs);
    life.Start();
  };
  return scenario;
}

TEST_CASE_METHOD(CrashTest, "Two heads killed anywhere: an exec", "[crash]") {
  Scenario scenario = Short(rootfs());
  scenario.steps = [](Life& life) {
    life.Exec("e", "echo out; exit 7");
    life.Start("e");
    life.Exit("e");
    life.End("e");
    life.Delete("e");
  };
  scenario.after = [](Life& life) {
    life.Kill(SIGKILL);
    life.Exit();
    life.Delete();
  };
  TryPairs(scenario, {
                         "shim: 0",
                         "create: ok",
                         "start: ok",
                         "exec e: ok",
                         "start e: ok",
                         "wait e: ok status 7",
                         "out e: 'out\\n'",
                         "err e: ''",
                         "delete e: ok status 7",
                         "kill: ok",
                         "wait: ok status 137",
                         "delete: ok status 137",
                         "shutdown: ok",
                         "leftovers: none",
                         "files: address config.json init.pid log log.json "
                         "options.json rootfs runtime",
                         "events: create start exec-added[e] exec-started[e] "
                         "exit[e]=7 exit=137 delete=137",
                     });
}

TEST_CASE_METHOD(CrashTest, "A head killed anywhere: no engine", "[crash]") {
  Scenario scenario;
  scenario.is_native = true;
  scenario.shell = "echo up; exec sleep 1000";
  scenario.steps = [](Life& life) {
    life.Run();
    life.Log("up\n");
    life.State();
    life.Restart();
    life.Log("up\nup\n");
    life.State();
    life.Stop();
    life.State();
    life.OwnEvents();
    life.Remove();
  };
  TryEach(scenario, {
                        "shim: 0",
                        "run: ok",
                        "log: as written",
                        "state: ok RUNNING status 0",
                        "restart: ok status 137",
                        "log: as written",
                        "state: ok RUNNING status 0",
                        "stop: ok status 137",
                        "stop with patience: ok status 137",
                        "state: ok STOPPED status 137",
                        "own events: ok create start exit=137 start exit=137",
                        "remove: ok",
                        "leftovers: none",
                        "files: address config.json log log.json "
                        "options.json rootfs runtime",
                        "events:",
                    });
}

TEST_CASE_METHOD(CrashTest, "Two heads killed anywhere: the end", "[crash]") {
  Scenario scenario = Short(rootfs());
  scenario.steps = [](Life& life) {
    life.State();
    life.Kill(SIGTERM);
    life.Kill(SIGKILL);
    life.Exit();
    life.End();
    life.Delete();
  };
  TryPairs(scenario, {
                         "shim: 0",
                         "create: ok",
                         "start: ok",
                         "state: ok RUNNING status 0",
                         "kill: ok",
                         "kill: ok",
                         "wait: ok status 137",
                         "out: ''",
                         "err: ''",
                         "delete: ok status 137",
                         "shutdown: ok",
                         "leftovers: none",
                         "files: address config.json init.pid log log.json "
                         "options.json rootfs runtime",
                         "events: create start exit=137 delete=137",
                     });
}

}  // namespace
}  // namespace hydra::testing
