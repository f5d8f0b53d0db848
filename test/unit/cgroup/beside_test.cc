#include "shim/cgroup/beside.h"

#include <catch2/catch.hpp>
#include <string>

#include "test/unit/cgroup/recorded_tree.h"

namespace hydra {
namespace {

constexpr char kHybrid[] =
    "30 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "31 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
    "rw,cpu,cpuacct\n"
    "32 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 30 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "34 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

// A process of a machine with these mounts.
class Machine final {
 public:
  Machine(const std::string& mounts, const std::string& cgroups) {
    tree_.Write("proc/self/mountinfo", mounts);
    tree_.Write("proc/self/cgroup", cgroups);
  }
  void Add(const std::string& cgroup) {
    tree_.Write("sys/fs/cgroup/" + cgroup + "/cgroup.procs", "");
  }
  std::vector<BesideCgroup> Find() const {
    const auto found = FindBeside({.prefix = tree_.path()});
    REQUIRE(found.ok());
    return *found;
  }
  // The directory of a cgroup.
  std::string At(const std::string& cgroup) const {
    return tree_.path() + "/sys/fs/cgroup/" + cgroup;
  }

 private:
  TemporaryTree tree_;
};

TEST_CASE("FindBeside names a sibling in each hierarchy of its own",
          "[beside]") {
  Machine machine(kHybrid,
                  "4:cpu,cpuacct:/\n3:cpuset:/a/engine\n"
                  "2:name=systemd:/engine\n0::/b/engine\n");
  for (const char* cgroup : {"cpu,cpuacct", "cpuset/a/engine", "systemd/engine",
                             "unified/b/engine"}) {
    machine.Add(cgroup);
  }
  const std::vector<BesideCgroup> found = machine.Find();
  REQUIRE(found.size() == 3);
  CHECK(found[0].parent == machine.At("cpuset/a"));
  CHECK(found[0].directory == machine.At("cpuset/a/hydra-monitors"));
  CHECK(found[0].cpuset);
  CHECK_FALSE(found[0].unified);
  CHECK(found[1].directory == machine.At("systemd/hydra-monitors"));
  CHECK_FALSE(found[1].cpuset);
  CHECK(found[2].directory == machine.At("unified/b/hydra-monitors"));
  CHECK(found[2].unified);
}

TEST_CASE("FindBeside finds nothing to leave in root cgroups", "[beside]") {
  // And reads no mounts for it.
  Machine machine("", "2:name=systemd:/\n1:cpu,cpuacct:/\n0::/\n");
  CHECK(machine.Find().empty());
}

TEST_CASE("FindBeside does not leave what is beside already", "[beside]") {
  Machine machine(kHybrid, "2:name=systemd:/a/hydra-monitors\n");
  machine.Add("systemd/a/hydra-monitors");
  CHECK(machine.Find().empty());
}

TEST_CASE("FindBeside stays below what a container can see", "[beside]") {
  // The mount's root is the container's cgroup, where the engine is, too.
  Machine machine(
      "33 30 0:31 /docker/x /sys/fs/cgroup/systemd ro - cgroup cgroup "
      "rw,name=systemd\n",
      "2:name=systemd:/docker/x\n1:cpu:/docker/x\n");
  machine.Add("systemd");
  CHECK(machine.Find().empty());
}

TEST_CASE("FindBeside without /proc is an error", "[beside]") {
  TemporaryTree tree;
  CHECK(absl::IsNotFound(FindBeside({.prefix = tree.path()}).status()));
}

}  // namespace
}  // namespace hydra
