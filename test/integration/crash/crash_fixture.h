// Runs a container's life again and again, and kills its heads at points of it.
//
// No list of points is written down: a life without a crash records those that
// it passes, and is the model for the others. It is compared with what the test
// case expects, so that the model itself is right.
//
// HYDRA_CRASH_PAIRS=all tries every pair, where otherwise a sample is drawn,
// the same in every run; HYDRA_CRASH_POINT="NAME OCCURRENCE[,NAME OCCURRENCE]"
// tries only that.
//
// Main thread only.

#ifndef HYDRA_TEST_INTEGRATION_CRASH_CRASH_FIXTURE_H_
#define HYDRA_TEST_INTEGRATION_CRASH_CRASH_FIXTURE_H_

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "test/integration/crash/life.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {

using Points = std::vector<CrashPoint>;
using Story = std::vector<std::string>;

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
  CrashTest();

  const std::string& rootfs() const { return rootfs_; }

  // Every point of the scenario, once.
  void TryEach(const Scenario& scenario, const Story& expected);
  // Points by name, in a life that has no model without them.
  void TryOnly(const Scenario& scenario, const Points& points,
               const Story& expected);
  // Pairs of a point of the steps and a point that the successor passes.
  void TryPairs(const Scenario& scenario, const Story& expected);

 private:
  struct Outcome {
    Story story;
    bool all_fired = false;
    std::vector<Points> passed;
    // Of the first head, before the steps.
    size_t passed_before = 0;
    size_t passed_by_then = 0;
  };

  Outcome Run(const Scenario& scenario, const Points& points);
  // The life without a crash, which must be `expected`; the points of its
  // steps.
  Points Model(const Scenario& scenario, const Story& expected);
  // Kills at `points` and compares; nothing if they were not all passed.
  std::optional<Outcome> Try(const Scenario& scenario, const Points& points);
  void Report(size_t points, std::chrono::steady_clock::time_point begin) const;

  std::string rootfs_;
  Story model_;
  int runs_ = 0;
  int failures_ = 0;
  std::vector<std::string> missed_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_CRASH_CRASH_FIXTURE_H_
