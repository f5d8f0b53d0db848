// The integration tests' main: Catch2's, with the engine and the runtime as
// options, and an exit status for "skipped".
#define CATCH_CONFIG_RUNNER
#include <signal.h>
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <string>

#include "test/integration/harness/differences.h"
#include "test/integration/harness/engine.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

// What ctest's SKIP_RETURN_CODE says; the counts of Catch2 do not know skips.
constexpr int kSkipped = 77;

// Which of the failures are none of ours.
class KnownFaults final : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    if (stats.totals.assertions.failed == 0) return;
    const std::string reason = ReferenceFault(stats.testInfo.name);
    ++(reason.empty() ? others : known);
    if (!reason.empty()) Catch::cout() << "DIFFERENCE: " << reason << '\n';
  }

  static int known;
  static int others;
};
int KnownFaults::known = 0;
int KnownFaults::others = 0;
CATCH_REGISTER_LISTENER(KnownFaults)

int RunTests(int argc, char** argv) {
  using Catch::clara::Opt;
  Catch::Session session;
  std::string engine, runtime;
  session.cli(session.cli() |
              Opt(engine, "suite")["--engine"]("the suite of the engine") |
              Opt(runtime, "name")["--runtime"]("the runtime under test"));
  const int wrong = session.applyCommandLine(argc, argv);
  if (wrong != 0) return wrong;
  if (!engine.empty()) setenv("HYDRA_TEST_ENGINE", engine.c_str(), 1);
  if (!runtime.empty()) setenv("HYDRA_TEST_RUNTIME", runtime.c_str(), 1);
  const std::string missing = TestEngine().Missing();
  if (!missing.empty()) {
    Catch::cout() << "SKIPPED: " << missing << '\n';
    return kSkipped;
  }
  const int failed = session.run();
  if (SkipCount() > 0) {
    Catch::cout() << SkipCount() << " test cases skipped\n";
    if (failed == 0) return kSkipped;
  }
  return KnownFaults::known > 0 && KnownFaults::others == 0 ? kSkipped : failed;
}

}  // namespace
}  // namespace hydra::testing

int main(int argc, char** argv) {
  // A child that stops reading its input must not kill the tests.
  signal(SIGPIPE, SIG_IGN);
  return hydra::testing::RunTests(argc, argv);
}
