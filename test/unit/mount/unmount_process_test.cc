#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <future>

#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/mount/unmount.h"
#include "test/unit/mount/sandbox.h"

namespace hydra {
namespace {

using Points = std::vector<std::string>;

void MountTmpfs(const std::string& path) {
  REQUIRE(mount("t", path.c_str(), "tmpfs", 0, "") == 0);
}

TEST_CASE("Stacked and nested mounts all go", "[unmount]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.Dir("rootfs");
  const std::string beside = sandbox.Dir("rootfs2");
  MountTmpfs(beside);
  MountTmpfs(rootfs);
  MountTmpfs(rootfs);
  const std::string nested = sandbox.Dir("rootfs/a/b");
  MountTmpfs(sandbox.Dir("rootfs/a"));
  sandbox.Dir("rootfs/a/b");
  MountTmpfs(nested);
  MountTmpfs(nested);
  MountTmpfs(nested);
  REQUIRE(sandbox.Mounts().size() == 7);
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts() == Points{beside});
  CHECK(TakeCensus() == before);
}

TEST_CASE("Mounts that others cover come to light and go", "[unmount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.Dir("rootfs");
  MountTmpfs(rootfs);
  MountTmpfs(sandbox.Dir("rootfs/hidden"));
  MountTmpfs(rootfs);
  MountTmpfs(sandbox.Dir("rootfs/seen"));
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("Odd characters in a path do not matter", "[unmount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.Dir("a b\tc\nd\\040e#f\xc3\xa4\x80");
  MountTmpfs(rootfs);
  MountTmpfs(sandbox.Dir("a b\tc\nd\\040e#f\xc3\xa4\x80/ x\\"));
  REQUIRE(sandbox.Mounts().size() == 2);
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("The path may lead over symlinks, what is unmounted may not",
          "[unmount]") {
  const Sandbox sandbox;
  const std::string real = sandbox.Dir("real/rootfs");
  const std::string other = sandbox.Dir("other");
  MountTmpfs(real);
  MountTmpfs(other);
  std::filesystem::create_symlink(other, real + "/link");
  std::filesystem::create_symlink("real", sandbox.path() + "/alias");
  REQUIRE(UnmountRecursive(sandbox.path() + "/alias/rootfs").ok());
  CHECK(sandbox.Mounts() == Points{other});
}

TEST_CASE("A directory that is no mount point is fine", "[unmount]") {
  const Sandbox sandbox;
  CHECK(UnmountRecursive(sandbox.Dir("rootfs")).ok());
  CHECK(UnmountRecursive(sandbox.path() + "/missing/rootfs").ok());
}

TEST_CASE("Mounts below an ordinary directory go", "[unmount]") {
  const Sandbox sandbox;
  sandbox.Dir("rootfs/a");
  MountTmpfs(sandbox.path() + "/rootfs/a");
  REQUIRE(UnmountRecursive(sandbox.path() + "/rootfs").ok());
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("A mount in use goes once it is free", "[unmount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.Dir("rootfs");
  MountTmpfs(rootfs);
  UniqueFd user(open(rootfs.c_str(), O_RDONLY | O_CLOEXEC));
  auto unmounting =
      std::async(std::launch::async, [&] { return UnmountRecursive(rootfs); });
  // That it is still waiting is what is tested.
  CHECK(unmounting.wait_for(std::chrono::milliseconds(200)) ==
        std::future_status::timeout);
  user.Reset();
  CHECK(unmounting.get().ok());
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("A mount that stays in use is an error, the others go", "[unmount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.Dir("rootfs");
  MountTmpfs(rootfs);
  const std::string free = sandbox.Dir("rootfs/free");
  const std::string busy = sandbox.Dir("rootfs/busy");
  MountTmpfs(free);
  MountTmpfs(busy);
  UniqueFd user(open(busy.c_str(), O_RDONLY | O_CLOEXEC));
  const absl::Status status = UnmountRecursive(rootfs);
  CHECK_THAT(Message(status),
             Catch::Equals("unmount " + busy + ": Device or resource busy"));
  CHECK(sandbox.Mounts() == Points{rootfs, busy});
}

}  // namespace
}  // namespace hydra
