// Only in the test build of a later version (HYDRA_TEST_STATE_NEXT): what such
// a version may write that this one does not know, and how one may break.
// Files in the instance's directory choose.

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim/monitor/monitor.h"

namespace hydra::monitor {

// A section more, with a descriptor in it.
void Monitor::SaveTestOnly(StateWriter* state) {
  static const UniqueFd fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  state->BeginSection(StateSection::kTestOnly);
  state->Fd(fd);
  state->EndRecord();
  if (access("test-needs-next", F_OK) == 0) state->NeedsVersion(kStateVersion);
}

void Monitor::BreakForTest(const char* crash, const char* hang) {
  if (access(crash, F_OK) == 0) abort();
  if (access(hang, F_OK) == 0) {
    while (true) pause();
  }
}

}  // namespace hydra::monitor
