#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "shim/base/file.h"
#include "shim/base/status.h"
#include "test/unit/base/temp_directory.h"

namespace hydra {
namespace {

// A mount namespace of the test's own, so that nothing of it is left. A test
// that cannot have one says so and ends with what ctest takes for "skipped".
void EnterMountNamespace() {
  if (unshare(CLONE_NEWNS) == 0 &&
      mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) {
    return;
  }
  fprintf(stderr, "skipped: a mount namespace: %s\n", strerror(errno));
  std::_Exit(77);
}

TEST_CASE("ReplaceFile on a full file system leaves the old file") {
  EnterMountNamespace();
  TempDirectory directory;
  REQUIRE(mount("none", directory.path().c_str(), "tmpfs", 0, "size=16k") == 0);
  const std::string path = directory / "file";
  REQUIRE(ReplaceFile(path, "old", 0600).ok());
  const absl::Status status =
      ReplaceFile(path, std::string(64 << 10, 'x'), 0600);
  CHECK(absl::IsResourceExhausted(status));
  CHECK(Message(status) == "write " + path + ".tmp: No space left on device");
  CHECK(*ReadFile(path, 100) == "old");
  CHECK(access((path + ".tmp").c_str(), F_OK) < 0);
  CHECK(ReplaceFile(path, "new", 0600).ok());
  CHECK(*ReadFile(path, 100) == "new");
  REQUIRE(umount2(directory.path().c_str(), MNT_DETACH) == 0);
}

}  // namespace
}  // namespace hydra
