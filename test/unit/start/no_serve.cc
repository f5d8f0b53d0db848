// The shim of the tests is never a head: it writes what it was given into
// $FAKE_HEAD_REPORT, and ends.

#include "cmd/containerd-shim-hydra-v1/serve.h"
#include "test/unit/start/report.h"

int hydra::Serve(const Flags&) {
  test::Report("FAKE_HEAD_REPORT", 0, nullptr);
  return 2;
}
