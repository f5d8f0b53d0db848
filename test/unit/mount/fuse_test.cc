#include "shim/mount/fuse.h"

#include <catch2/catch.hpp>

namespace hydra {
namespace {

TEST_CASE("fuse. and fuse3. name the helper program", "[mount][fuse]") {
  const auto fuse = FindFuseHelper("fuse.sshfs");
  REQUIRE(fuse.has_value());
  CHECK(fuse->program == "mount.fuse");
  CHECK(fuse->type == "sshfs");
  const auto fuse3 = FindFuseHelper("fuse3.fuse-overlayfs");
  REQUIRE(fuse3.has_value());
  CHECK(fuse3->program == "mount.fuse3");
  CHECK(fuse3->type == "fuse-overlayfs");
}

TEST_CASE("Other types have no helper program", "[mount][fuse]") {
  for (const char* type : {"", "fuse", "fuse3", "fuseblk", "ext4", "xfuse.y"}) {
    CHECK_FALSE(FindFuseHelper(type).has_value());
  }
}

}  // namespace
}  // namespace hydra
