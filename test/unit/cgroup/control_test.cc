#include "shim/cgroup/control.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "shim/base/status.h"
#include "test/unit/cgroup/recorded_tree.h"

namespace hydra {
namespace {

// A v2 tree with the cgroup /a/b/c.
class FakeHierarchy final {
 public:
  FakeHierarchy() {
    for (const char* directory : {"", "/a", "/a/b", "/a/b/c"}) {
      tree_.Write(Path(directory, "cgroup.controllers"), "cpu memory\n");
      tree_.Write(Path(directory, "cgroup.subtree_control"), "");
    }
  }
  std::string Control(const std::string& directory) const {
    return tree_.Read(Path(directory, "cgroup.subtree_control"));
  }
  static std::string Path(const std::string& directory, const char* name) {
    return "sys/fs/cgroup" + directory + "/" + name;
  }
  const TemporaryTree& tree() const { return tree_; }
  Cgroup cgroup() const {
    absl::StatusOr<Cgroup> cgroup = Cgroup::FromPaths(
        {.mode = CgroupMode::kV2,
         .directories = {{"unified", tree_.path() + "/sys/fs/cgroup/a/b/c"}}});
    REQUIRE(cgroup.ok());
    return *std::move(cgroup);
  }

 private:
  TemporaryTree tree_;
};

TEST_CASE("EnableControllers writes to every ancestor, not to the cgroup",
          "[control]") {
  FakeHierarchy fake;
  CHECK(EnableControllers(fake.cgroup()).ok());
  CHECK(fake.Control("") == "+cpu +memory");
  CHECK(fake.Control("/a") == "+cpu +memory");
  CHECK(fake.Control("/a/b") == "+cpu +memory");
  CHECK(fake.Control("/a/b/c").empty());
}

TEST_CASE("EnableControllers gives the error of the parent", "[control]") {
  FakeHierarchy fake;
  fake.tree().Remove(FakeHierarchy::Path("", "cgroup.subtree_control"));
  CHECK(EnableControllers(fake.cgroup()).ok());
  fake.tree().Remove(FakeHierarchy::Path("/a/b", "cgroup.subtree_control"));
  CHECK(absl::IsNotFound(EnableControllers(fake.cgroup())));
  CHECK(fake.Control("/a") == "+cpu +memory");
}

TEST_CASE("EnableControllers has nothing to do on v1", "[control]") {
  absl::StatusOr<Cgroup> cgroup = Cgroup::FromPaths(
      {.mode = CgroupMode::kV1, .directories = {{"memory", "/none"}}});
  REQUIRE(cgroup.ok());
  CHECK(EnableControllers(*cgroup).ok());
}

TEST_CASE("AddProcess on v2 writes the pid", "[control]") {
  TemporaryTree tree;
  tree.Write("sys/fs/cgroup/a/b/cgroup.procs", "");
  const CgroupHost host = {.prefix = tree.path(), .mode = CgroupMode::kV2};
  CHECK(AddProcess("/a//b/", 123, host).ok());
  CHECK(tree.Read("sys/fs/cgroup/a/b/cgroup.procs") == "123");
}

TEST_CASE("AddProcess on v2 to a cgroup that does not exist is NotFound",
          "[control]") {
  TemporaryTree tree;
  tree.Write("sys/fs/cgroup/cgroup.procs", "");
  const CgroupHost host = {.prefix = tree.path(), .mode = CgroupMode::kV2};
  CHECK(absl::IsNotFound(AddProcess("/a", 123, host)));
}

TEST_CASE("AddProcess refuses a path that leaves the hierarchy", "[control]") {
  for (const char* path : {"", "a/b", "/a/../b", "/.."}) {
    CHECK(absl::IsInvalidArgument(
        AddProcess(path, 123, {.prefix = "", .mode = CgroupMode::kV2})));
  }
}

TEST_CASE("AddProcess on v1 without hierarchies is FailedPrecondition",
          "[control]") {
  TemporaryTree tree;
  tree.Write("proc/self/mountinfo", "31 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
  const CgroupHost host = {.prefix = tree.path(), .mode = CgroupMode::kV1};
  CHECK(absl::IsFailedPrecondition(AddProcess("/a", 123, host)));
}

}  // namespace
}  // namespace hydra
