// The integration tests' main: Catch2's, with an exit status for "skipped".
#define CATCH_CONFIG_RUNNER
#include <signal.h>

#include <catch2/catch.hpp>

#include "test/integration/harness/fixture.h"

// What ctest's SKIP_RETURN_CODE says; the counts of Catch2 do not know skips.
constexpr int kSkipped = 77;

int main(int argc, char** argv) {
  // A child that stops reading its input must not kill the tests.
  signal(SIGPIPE, SIG_IGN);
  Catch::Session session;
  const int failed = session.run(argc, argv);
  if (hydra::testing::SkipCount() > 0) {
    Catch::cout() << hydra::testing::SkipCount() << " test cases skipped\n";
    if (failed == 0) return kSkipped;
  }
  return failed;
}
