// The head is killed at every point where it changes the world, once each, and
// at pairs of points; the container's life must be as if it had not been.
//
// No list of points is written down: a life without a crash records those that
// it passes, and is the model for the others. It is compared with what is
// written here, so that the model itself is right.
//
// HYDRA_CRASH_PAIRS=all tries every pair, where otherwise a sample is drawn,
// the same in every run; HYDRA_CRASH_POINT="NAME OCCURRENCE[,NAME OCCURRENCE]"
// tries only that.

#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <iostream>
#include <random>

#include "test/integration/crash/life.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/image.h"

namespace hydra::testing {
namespace {

using Points = std::vector<CrashPoint>;
using Story = std::vector<std::string>;

// A run that differs is told at once; after this many the rest would say the
// same.
constexpr int kMaxFailures = 5;
// A point need not be passed in every run: whether a stream has ended when it
// is asked for is a race, for instance. So often is it tried.
constexpr int kAttempts = 3;

std::string Text(const Points& points) {
  std::string text;
  for (const CrashPoint& point : points) {
    text += (text.empty() ? "" : ",") + point.text();
  }
  return text;
}

// Line by line; empty if there is none.
std::string Difference(const Story& expected, const Story& story) {
  std::string text;
  for (size_t i = 0; i < std::max(expected.size(), story.size()); ++i) {
    const std::string left = i < expected.size() ? expected[i] : "";
    const std::string right = i < story.size() ? story[i] : "";
    if (left != right) text += "- " + left + "\n+ " + right + "\n";
  }
  return text;
}

// How a life goes. Heads are killed in `steps`; without a `before`, also when
// the shim starts and ends. The shim is started before and shut down after it
// all.
struct Scenario {
  std::string shell;
  bool terminal = false;
  // No engine has it; the steps end with its removal.
  bool is_native = false;
  std::function<void(Life&)> before;
  std::function<void(Life&)> steps;
  std::function<void(Life&)> after;
};

class CrashTest : public IntegrationTest {
 public:
  CrashTest() : IntegrationTest(WithCrashPoints(kHydraRuntime)) {
    rootfs_ = containerd().directory() + "/shared-rootfs";
    WriteRootfs(rootfs_);
    events();
  }

  const std::string& rootfs() const { return rootfs_; }

  struct Outcome {
    Story story;
    bool all_fired = false;
    std::vector<Points> passed;
    // Of the first head, before the steps.
    size_t passed_before = 0;
    size_t passed_by_then = 0;
  };

  Outcome Run(const Scenario& scenario, const Points& points) {
    ++runs_;
    Life life(&containerd(), &events(), "c" + std::to_string(runs_),
              scenario.shell, scenario.terminal);
    Outcome outcome;
    const auto passed = [&] {
      const auto heads = life.Passed();
      return heads.empty() ? 0 : heads[0].size();
    };
    // What the first head passes when it starts belongs to the steps.
    if (!scenario.before && !points.empty()) life.Arm(points);
    if (scenario.is_native) life.LeaveEngine();
    life.StartShim();
    if (scenario.before) {
      scenario.before(life);
      outcome.passed_before = passed();
      if (!points.empty()) life.Arm(points);
    }
    scenario.steps(life);
    outcome.passed_by_then = passed();
    if (scenario.after) scenario.after(life);
    if (!scenario.is_native) life.Shutdown();
    life.Aftermath();
    outcome.story = life.story();
    outcome.all_fired = life.AllFired();
    outcome.passed = life.Passed();
    return outcome;
  }

  // The life without a crash, which must be `expected`; the points of its
  // steps.
  Points Model(const Scenario& scenario, const Story& expected) {
    const Outcome outcome = Run(scenario, {});
    INFO(Difference(expected, outcome.story));
    REQUIRE(outcome.story == expected);
    model_ = expected;
    REQUIRE(outcome.passed.size() == 1);
    const Points& all = outcome.passed[0];
    if (!scenario.before) return all;
    return Points(all.begin() + static_cast<ptrdiff_t>(outcome.passed_before),
                  all.begin() + static_cast<ptrdiff_t>(outcome.passed_by_then));
  }

  // Kills at `points` and compares; nothing if they were not all passed.
  std::optional<Outcome> Try(const Scenario& scenario, const Points& points) {
    for (int i = 0; i < kAttempts; ++i) {
      Outcome outcome = Run(scenario, points);
      if (outcome.story != model_) {
        UNSCOPED_INFO("killed at: " << Text(points) << '\n'
                                    << Difference(model_, outcome.story));
        CHECK(false);
        REQUIRE(++failures_ < kMaxFailures);
        return outcome;
      }
      if (outcome.all_fired) return outcome;
    }
    missed_.push_back(Text(points));
    return std::nullopt;
  }

  // Every point of the scenario, once.
  void TryEach(const Scenario& scenario, const Story& expected) {
    const auto begin = std::chrono::steady_clock::now();
    const Points points = Model(scenario, expected);
    if (const char* only = getenv("HYDRA_CRASH_POINT"); only != nullptr) {
      Try(scenario, Parse(only));
      return;
    }
    for (const CrashPoint& point : points) Try(scenario, {point});
    Report(points.size(), begin);
    // Passed by chance or not at all: more would be a test that has gone stale.
    CHECK(missed_.size() * 10 <= points.size());
  }

  // Points by name, in a life that has no model without them.
  void TryOnly(const Scenario& scenario, const Points& points,
               const Story& expected) {
    const auto begin = std::chrono::steady_clock::now();
    model_ = expected;
    for (const CrashPoint& point : points) {
      REQUIRE(Try(scenario, {point}).has_value());
    }
    Report(points.size(), begin);
  }

  // Pairs of a point of the steps and a point that the successor passes.
  void TryPairs(const Scenario& scenario, const Story& expected) {
    const auto begin = std::chrono::steady_clock::now();
    Points firsts = Model(scenario, expected);
    const char* which = getenv("HYDRA_CRASH_PAIRS");
    const bool all = which != nullptr && std::string(which) == "all";
    std::mt19937 random(20'170'828);
    if (!all) Draw(&firsts, kFirsts, &random);
    size_t pairs = 0;
    for (const CrashPoint& first : firsts) {
      const auto outcome = Try(scenario, {first});
      if (!outcome.has_value() || outcome->passed.size() < 2) continue;
      Points seconds = outcome->passed[1];
      if (!all) Draw(&seconds, kSeconds, &random);
      for (const CrashPoint& second : seconds) Try(scenario, {first, second});
      pairs += seconds.size();
    }
    Report(pairs, begin);
    CHECK(missed_.size() * 5 <= pairs);
  }

 private:
  // The fixture looks for the shim when it is made.
  static std::string WithCrashPoints(const char* runtime) {
    setenv("HYDRA_TEST_BIN_DIR", HYDRA_CRASH_BIN_DIR, 1);
    return runtime;
  }

  static constexpr size_t kFirsts = 20;
  static constexpr size_t kSeconds = 5;

  // Not std::sample or std::shuffle: another library draws otherwise.
  static void Draw(Points* points, size_t count, std::mt19937* random) {
    while (points->size() > count) {
      points->erase(points->begin() +
                    static_cast<ptrdiff_t>((*random)() % points->size()));
    }
  }

  static Points Parse(const std::string& text) {
    Points points;
    std::string rest = text;
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      const std::string one = rest.substr(0, comma);
      rest.erase(0, comma + 1);
      const size_t space = one.rfind(' ');
      points.push_back({one.substr(0, space), std::stoi(one.substr(space))});
    }
    return points;
  }

  void Report(size_t points,
              std::chrono::steady_clock::time_point begin) const {
    using std::chrono::duration_cast;
    const auto took = std::chrono::steady_clock::now() - begin;
    std::cout << points << " tried, " << runs_ << " lives, " << failures_
              << " differ, " << missed_.size() << " not passed, "
              << duration_cast<std::chrono::seconds>(took).count() << " s\n";
    for (const std::string& text : missed_) {
      std::cout << "not passed: " << text << '\n';
    }
  }

  std::string rootfs_;
  Story model_;
  int runs_ = 0;
  int failures_ = 0;
  std::vector<std::string> missed_;
};

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
                        "files: address config.json init.pid log log.json "
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
