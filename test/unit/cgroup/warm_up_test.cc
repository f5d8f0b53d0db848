#include "shim/cgroup/warm_up.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "shim/base/file.h"

namespace hydra {
namespace {

TEST_CASE("A warm-up leaves the process in its cgroups", "[warm-up]") {
  const auto before = ReadFile("/proc/self/cgroup", 1 << 20);
  REQUIRE(before.ok());
  WarmUpCgroupMigration();
  CHECK(*ReadFile("/proc/self/cgroup", 1 << 20) == *before);
}

TEST_CASE("Without a cgroup file system there is no warm-up", "[warm-up]") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        umount2("/sys", MNT_DETACH) != 0) {
      _exit(1);
    }
    WarmUpCgroupMigration();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

}  // namespace
}  // namespace hydra
