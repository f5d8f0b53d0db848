#include "test/integration/crash/crash_fixture.h"

#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <iostream>
#include <random>

#include "test/integration/harness/image.h"

namespace hydra::testing {
namespace {

// For who waits.
constexpr int kLivesBetweenNotes = 500;
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

// A sample of pairs: so many first points, and so many second ones of each.
constexpr size_t kFirsts = 20;
constexpr size_t kSeconds = 5;

// The fixture looks for the shim when it is made.
std::string WithCrashPoints(const char* runtime) {
  setenv("HYDRA_TEST_BIN_DIR", HYDRA_CRASH_BIN_DIR, 1);
  return runtime;
}

// Not std::sample or std::shuffle: another library draws otherwise.
void Draw(Points* points, size_t count, std::mt19937* random) {
  while (points->size() > count) {
    points->erase(points->begin() +
                  static_cast<ptrdiff_t>((*random)() % points->size()));
  }
}

Points Parse(const std::string& text) {
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

}  // namespace

CrashTest::CrashTest() : IntegrationTest(WithCrashPoints(kHydraRuntime)) {
  rootfs_ = containerd().directory() + "/shared-rootfs";
  WriteRootfs(rootfs_);
  events();
}

CrashTest::Outcome CrashTest::Run(const Scenario& scenario,
                                  const Points& points) {
  if (++runs_ % kLivesBetweenNotes == 0) {
    std::cout << runs_ << " lives, " << failures_ << " differ" << std::endl;
  }
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

Points CrashTest::Model(const Scenario& scenario, const Story& expected) {
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

std::optional<CrashTest::Outcome> CrashTest::Try(const Scenario& scenario,
                                                 const Points& points) {
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

void CrashTest::TryEach(const Scenario& scenario, const Story& expected) {
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

void CrashTest::TryOnly(const Scenario& scenario, const Points& points,
                        const Story& expected) {
  const auto begin = std::chrono::steady_clock::now();
  model_ = expected;
  for (const CrashPoint& point : points) {
    REQUIRE(Try(scenario, {point}).has_value());
  }
  Report(points.size(), begin);
}

void CrashTest::TryPairs(const Scenario& scenario, const Story& expected) {
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

void CrashTest::Report(size_t points,
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

}  // namespace hydra::testing
