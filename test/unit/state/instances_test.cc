#include "shim/state/instances.h"

#include <stdlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "shim/state/paths.h"

namespace hydra {
namespace {

namespace fs = std::filesystem;

TEST_CASE("Instances are found in all engines' directories", "[instances]") {
  char pattern[] = "/tmp/hydra-instances-XXXXXX";
  REQUIRE(mkdtemp(pattern) != nullptr);
  const std::string run = pattern;
  CHECK(FindInstances(run + "/none")->empty());
  CHECK(FindInstances(run)->empty());
  std::vector<InstanceName> names = {{"/run/b.sock", "blue", "c1"},
                                     {"", "blue", "c1"},
                                     {"/run/b.sock", "red", "tail.sock"},
                                     {"/run/b.sock", "red", "c2"}};
  // One with the short name of a socket.
  names.push_back({"/run/b.sock", std::string(70, 'n'), std::string(70, 'i')});
  for (const InstanceName& name : names) {
    REQUIRE(MakeInstanceDirectory(*PathsOf(run, name)).ok());
  }
  // What is no instance.
  std::ofstream(run + "/file");
  fs::create_directories(run + "/local/blue/not an id");
  fs::create_directory_symlink("/", run + "/local/link");

  const auto found = FindInstances(run);
  REQUIRE(found.ok());
  REQUIRE(found->size() == names.size());
  CHECK((*found)[0].container_namespace == "blue");
  CHECK((*found)[1].container_namespace == "blue");
  CHECK((*found)[2].container_namespace == std::string(70, 'n'));
  CHECK((*found)[3].id == "c2");
  CHECK((*found)[4].id == "tail.sock");
  for (const InstanceName& name : names) {
    const std::string socket = PathsOf(run, name)->socket;
    CHECK(std::count_if(found->begin(), found->end(), [&](const auto& one) {
            return one.socket == socket && one.id == name.id &&
                   one.engine == EngineName(name.engine_address);
          }) == 1);
  }
  fs::remove_all(run);
}

}  // namespace
}  // namespace hydra
