#include "shim/cgroup/cgroup.h"

#include <catch2/catch.hpp>
#include <string>

#include "shim/base/status.h"
#include "shim/cgroup/mounts.h"
#include "test/unit/cgroup/recorded_tree.h"

namespace hydra {
namespace {

const CgroupHost kV1Host = RecordedHost(CgroupMode::kV1);
const CgroupHost kV2Host = RecordedHost(CgroupMode::kV2);

CgroupMount MountOf(std::string root) {
  return {.device = "0:29",
          .root = std::move(root),
          .mount_point = "/sys/fs/cgroup/memory",
          .unified = false,
          .options = {"rw", "memory"}};
}

TEST_CASE("OfProcess on v1 gives a directory per controller", "[cgroup]") {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(100, kV1Host);
  REQUIRE(cgroup.ok());
  CHECK(cgroup->mode() == CgroupMode::kV1);
  const std::string root = kV1Host.prefix + "/sys/fs/cgroup/";
  const std::string name = "/docker/" + std::string(kRecordedId);
  CHECK(cgroup->Directory("memory") == root + "memory" + name);
  CHECK(cgroup->Directory("pids") == root + "pids" + name);
  CHECK(cgroup->Directory("blkio") == root + "blkio" + name);
}

TEST_CASE("OfProcess gives co-mounted controllers the same directory",
          "[cgroup]") {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(100, kV1Host);
  REQUIRE(cgroup.ok());
  CHECK(cgroup->Directory("cpu") == kV1Host.prefix +
                                        "/sys/fs/cgroup/cpu,cpuacct/docker/" +
                                        std::string(kRecordedId));
  CHECK(cgroup->Directory("cpuacct") == cgroup->Directory("cpu"));
}

TEST_CASE("OfProcess leaves out controllers that are not mounted", "[cgroup]") {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(100, kV1Host);
  REQUIRE(cgroup.ok());
  CHECK(cgroup->Directory("perf_event").empty());
  CHECK(cgroup->paths().directories.count("unified") == 0);
}

TEST_CASE("OfProcess on v2 gives one directory for every controller",
          "[cgroup]") {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(200, kV2Host);
  REQUIRE(cgroup.ok());
  CHECK(cgroup->mode() == CgroupMode::kV2);
  CHECK(cgroup->paths().directories.size() == 1);
  CHECK(cgroup->Directory("memory") ==
        kV2Host.prefix + "/sys/fs/cgroup/system.slice/docker-" +
            std::string(kRecordedId) + ".scope");
  CHECK(cgroup->Directory("cpu") == cgroup->Directory("memory"));
}

TEST_CASE("OfProcess of a process that does not exist is NotFound",
          "[cgroup]") {
  CHECK(absl::IsNotFound(Cgroup::OfProcess(999, kV1Host).status()));
  CHECK(absl::IsNotFound(Cgroup::OfProcess(999, kV2Host).status()));
}

TEST_CASE("OfProcess of a process whose cgroup is gone is NotFound",
          "[cgroup]") {
  CHECK(absl::IsNotFound(Cgroup::OfProcess(102, kV1Host).status()));
  CHECK(absl::IsNotFound(Cgroup::OfProcess(202, kV2Host).status()));
}

TEST_CASE("DetectCgroupMode takes a plain directory for v1", "[cgroup]") {
  TemporaryTree tree;
  CHECK(absl::IsNotFound(DetectCgroupMode({.prefix = tree.path()}).status()));
  tree.Write("sys/fs/cgroup/memory/tasks", "");
  absl::StatusOr<CgroupMode> mode = DetectCgroupMode({.prefix = tree.path()});
  REQUIRE(mode.ok());
  CHECK(*mode == CgroupMode::kV1);
}

TEST_CASE("FromPaths gives back what paths had", "[cgroup]") {
  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(100, kV1Host);
  REQUIRE(cgroup.ok());
  absl::StatusOr<Cgroup> loaded = Cgroup::FromPaths(cgroup->paths());
  REQUIRE(loaded.ok());
  CHECK(loaded->mode() == cgroup->mode());
  CHECK(loaded->paths().directories == cgroup->paths().directories);
}

TEST_CASE("FromPaths refuses what no cgroup can be", "[cgroup]") {
  auto refused = [](CgroupPaths paths) {
    return absl::IsInvalidArgument(
        Cgroup::FromPaths(std::move(paths)).status());
  };
  using enum CgroupMode;
  CHECK(refused({.mode = kV1, .directories = {}}));
  CHECK(refused({.mode = kV2, .directories = {}}));
  CHECK(refused(
      {.mode = static_cast<CgroupMode>(7), .directories = {{"memory", "/a"}}}));
  CHECK(refused({.mode = kV1, .directories = {{"memory", "a/b"}}}));
  CHECK(refused({.mode = kV1, .directories = {{"memory", ""}}}));
  CHECK(refused({.mode = kV1, .directories = {{"memory", "/a/../b"}}}));
  CHECK(refused({.mode = kV1, .directories = {{"", "/a"}}}));
  CHECK(refused({.mode = kV1, .directories = {{"unified", "/a"}}}));
  CHECK(refused({.mode = kV2, .directories = {{"memory", "/a"}}}));
}

TEST_CASE("a cgroup with colons and spaces in its name is found", "[cgroup]") {
  TemporaryTree tree;
  tree.Write("proc/self/mountinfo",
             "37 31 0:33 / /sys/fs/cgroup/my\\040memory rw - cgroup cgroup "
             "rw,memory\n");
  tree.Write("proc/7/cgroup", "3:memory:/a:b/c d\n");
  tree.Write("sys/fs/cgroup/my memory/a:b/c d/tasks", "");
  absl::StatusOr<Cgroup> cgroup =
      Cgroup::OfProcess(7, {.prefix = tree.path(), .mode = CgroupMode::kV1});
  REQUIRE(cgroup.ok());
  CHECK(cgroup->Directory("memory") ==
        tree.path() + "/sys/fs/cgroup/my memory/a:b/c d");
}

TEST_CASE("of several mounts the one below /sys/fs/cgroup is taken",
          "[cgroup]") {
  TemporaryTree tree;
  tree.Write("proc/self/mountinfo",
             "36 31 0:33 / /chroot/cgroup/memory rw - cgroup cgroup rw,memory\n"
             "37 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup "
             "rw,memory\n");
  tree.Write("proc/7/cgroup", "3:memory:/a\n");
  tree.Write("chroot/cgroup/memory/a/tasks", "");
  const CgroupHost host = {.prefix = tree.path(), .mode = CgroupMode::kV1};

  absl::StatusOr<Cgroup> cgroup = Cgroup::OfProcess(7, host);
  REQUIRE(cgroup.ok());
  CHECK(cgroup->Directory("memory") == tree.path() + "/chroot/cgroup/memory/a");

  tree.Write("sys/fs/cgroup/memory/a/tasks", "");
  cgroup = Cgroup::OfProcess(7, host);
  REQUIRE(cgroup.ok());
  CHECK(cgroup->Directory("memory") == tree.path() + "/sys/fs/cgroup/memory/a");
}

TEST_CASE("a mount's root is taken off the cgroup's path", "[cgroup]") {
  const std::string at = "/sys/fs/cgroup/memory";
  CHECK(DirectoryUnder(MountOf("/"), "/") == at);
  CHECK(DirectoryUnder(MountOf("/"), "/a/b") == at + "/a/b");
  // A container that has the host's cgroup namespace, but its own mount.
  CHECK(DirectoryUnder(MountOf("/docker/abc"), "/docker/abc") == at);
  CHECK(DirectoryUnder(MountOf("/docker/abc"), "/docker/abc/x") == at + "/x");
}

TEST_CASE("a cgroup outside of a mount is not seen through it", "[cgroup]") {
  CHECK_FALSE(DirectoryUnder(MountOf("/docker/abc"), "/docker/other"));
  CHECK_FALSE(DirectoryUnder(MountOf("/docker/abc"), "/docker/abcd"));
  // In a cgroup namespace, a process outside of it, or a mount of above it.
  CHECK_FALSE(DirectoryUnder(MountOf("/"), "/../sibling"));
  CHECK_FALSE(DirectoryUnder(MountOf("/"), "/.."));
  CHECK_FALSE(DirectoryUnder(MountOf("/.."), "/a"));
  CHECK(DirectoryUnder(MountOf("/.."), "/../b") == "/sys/fs/cgroup/memory/b");
}

TEST_CASE("mountinfo lines that are not understood are skipped", "[cgroup]") {
  std::vector<CgroupMount> mounts = ParseCgroupMounts(
      "\n"
      "garbage\n"
      "1 2 3 - cgroup cgroup rw,memory\n"
      "33 31 0:29 / /a rw shared:1 master:2 - cgroup cgroup rw,name=systemd\n"
      "34 31 0:30 / /b rw - cgroup2 cgroup2 rw\n"
      "35 31 0:31 / /c rw - tmpfs tmpfs rw");
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].mount_point == "/a");
  CHECK(mounts[0].device == "0:29");
  CHECK(mounts[0].Has("name=systemd"));
  CHECK_FALSE(mounts[0].Has("systemd"));
  CHECK_FALSE(mounts[0].unified);
  CHECK(mounts[1].unified);
}

}  // namespace
}  // namespace hydra
