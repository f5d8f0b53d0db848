#include "test/integration/harness/differences.h"

#include "test/integration/harness/containerd.h"
#include "test/integration/harness/engine.h"

namespace hydra::testing {
namespace {

struct Difference {
  const char* test_case;
  // The first version of containerd that it concerns.
  int major;
  int minor;
  const char* reason;
};

constexpr char kLeaked[] =
    "containerd 1.7 and later ask a shim for its pids when they restart; a "
    "task without any, because it ended meanwhile, is deleted as leaked, and "
    "its exit status with it";

constexpr char kFrozen[] =
    "without its engine, a container that writes hangs as soon as the pipe is "
    "full";

constexpr char kNoWayBack[] =
    "containerd 2's own shim has the third task API only, and containerd 1.7 "
    "the second: going back ends the containers that 2 has started";

constexpr char kLastEvent[] =
    "containerd 2's own shim may end before it has sent its last event, on a "
    "busy machine it mostly does";

constexpr Difference kDifferences[] = {
    {"A bare shim runs a task from end to end", 2, 0, kLastEvent},
    {"A detached container outlives its ctr", 2, 0, kLastEvent},
    {"An exit while the engine is down is reported afterwards", 1, 7, kLeaked},
    {"What ended between two engines is told by the next", 1, 6, kLeaked},
    {"A container outlives engine after engine, newer and older", 1, 6,
     kNoWayBack},
    {"A container that ends while containerd is down has its status", 1, 7,
     kLeaked},
    {"Nothing that is logged while containerd is down is lost, or waits", 1, 6,
     kFrozen},
    {"A container that ends while Docker is down has its status", 1, 7,
     kLeaked},
    {"Nothing that is logged while Docker is down is lost, or waits", 1, 6,
     kFrozen},
};

}  // namespace

std::string ReferenceFault(const std::string& test_case) {
  if (TestRuntime() != kReferenceRuntime) return {};
  const Engine& engine = TestEngine();
  for (const Difference& difference : kDifferences) {
    const bool concerned = engine.major() > difference.major ||
                           (engine.major() == difference.major &&
                            engine.minor() >= difference.minor);
    if (concerned && test_case == difference.test_case) {
      return difference.reason;
    }
  }
  return {};
}

}  // namespace hydra::testing
