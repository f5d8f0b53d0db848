#include "shim/mount/unmount.h"

#include <catch2/catch.hpp>

namespace hydra {
namespace {

using Points = std::vector<std::string>;

TEST_CASE("Octal escapes of mountinfo are undone", "[mount][unmount]") {
  CHECK(UnescapeMountinfo("") == "");
  CHECK(UnescapeMountinfo("/a/b") == "/a/b");
  CHECK(UnescapeMountinfo(R"(/a\040b\011c\012d\134e\043f)") ==
        "/a b\tc\nd\\e#f");
  CHECK(UnescapeMountinfo(R"(\134040)") == R"(\040)");
  CHECK(UnescapeMountinfo(R"(/x\04)") == R"(/x\04)");
  CHECK(UnescapeMountinfo(R"(/x\089)") == R"(/x\089)");
}

constexpr char kMountinfo[] =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "60 27 0:40 / /b/rootfs rw master:3 shared:2 - overlay overlay rw\n"
    "61 60 0:41 / /b/rootfs/proc rw - proc proc rw\n"
    "62 60 0:42 / /b/rootfs/a\\040b rw - tmpfs x rw\n"
    "63 27 0:43 / /b/rootfs2 rw - tmpfs x rw\n"
    "64 60 0:44 / /b/rootfs rw - tmpfs x rw\n";

TEST_CASE("Mount points at or below a path, the deepest first",
          "[mount][unmount]") {
  CHECK(MountPointsUnder(kMountinfo, "/b/rootfs") ==
        Points{"/b/rootfs/proc", "/b/rootfs/a b", "/b/rootfs"});
  CHECK(MountPointsUnder(kMountinfo, "/b/rootfs/a b") ==
        Points{"/b/rootfs/a b"});
  CHECK(MountPointsUnder(kMountinfo, "/c").empty());
}

TEST_CASE("Damaged mountinfo lines name no mount point", "[mount][unmount]") {
  CHECK(MountPointsUnder("", "/b").empty());
  CHECK(MountPointsUnder("\n\n1 2\n1 2 3 4", "/b").empty());
  CHECK(MountPointsUnder("1 2 3 4 /b", "/b") == Points{"/b"});
}

TEST_CASE("The root directory is not unmounted", "[mount][unmount]") {
  CHECK(UnmountRecursive("/").code() == absl::StatusCode::kInvalidArgument);
  CHECK(UnmountRecursive("/proc/..").code() ==
        absl::StatusCode::kInvalidArgument);
}

TEST_CASE("Nothing to unmount is no error", "[mount][unmount]") {
  CHECK(UnmountRecursive("").ok());
  CHECK(UnmountRecursive("/nonexistent/rootfs").ok());
}

}  // namespace
}  // namespace hydra
