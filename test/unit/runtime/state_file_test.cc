#include "shim/runtime/state_file.h"

#include <catch2/catch.hpp>

namespace hydra {
namespace {

using Directories = std::map<std::string, std::string>;

TEST_CASE("the cgroups in runc's state", "[runtime]") {
  CHECK(CgroupDirectoriesIn(
            R"({"id":"c1","config":{"labels":["a=b"]},"rootless":false,)"
            R"("cgroup_paths":{"cpu,cpuacct":"/sys/fs/cgroup/cpu,cpuacct/c1",)"
            R"("name=systemd":"/sys/fs/cgroup/systemd/a \"b\" }"},)"
            R"("namespace_paths":{"NEWIPC":"/proc/7/ns/ipc"}})") ==
        Directories{
            {"cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/c1"},
            {"name=systemd", "/sys/fs/cgroup/systemd/a \"b\" }"},
        });
  CHECK(CgroupDirectoriesIn(R"({"cgroup_paths":{"":"/sys/fs/cgroup/c1"}})") ==
        Directories{{"", "/sys/fs/cgroup/c1"}});
}

TEST_CASE("a label that looks like the cgroups in runc's state", "[runtime]") {
  CHECK(CgroupDirectoriesIn(
            R"({"cgroup_paths":{"cpu":"/c"},)"
            R"("config":{"labels":["\"cgroup_paths\":{\"cpu\":\"/x\"}"]}})") ==
        Directories{{"cpu", "/c"}});
}

TEST_CASE("a state without cgroups", "[runtime]") {
  for (const char* text :
       {"", "{}", R"({"cgroup_paths":null})", R"({"cgroup_paths":{}})",
        R"({"cgroup_paths":["/c"]})", R"({"cgroup_paths":"/c"})",
        R"({"cgroup_paths":{"cpu":7}})", R"({"cgroup_paths":{"cpu":{}}})",
        R"({"cgroup_paths":{"cpu":"/c")", R"({"cgroup_paths":)"}) {
    CAPTURE(text);
    CHECK(CgroupDirectoriesIn(text).empty());
  }
}

}  // namespace
}  // namespace hydra
