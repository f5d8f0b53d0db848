#include "shim/mount/idmap.h"

#include <catch2/catch.hpp>

namespace hydra {
namespace {

TEST_CASE("An id map becomes one line for each range", "[mount][idmap]") {
  CHECK(*ParseIdMap("0:666:65536") == "0 666 65536\n");
  CHECK(*ParseIdMap("0:666:1000,1000:6666:64536") ==
        "0 666 1000\n1000 6666 64536\n");
  CHECK(*ParseIdMap("0:0:4294967295") == "0 0 4294967295\n");
}

TEST_CASE("An id map of another form is InvalidArgument", "[mount][idmap]") {
  for (const char* map :
       {"", ",", "0", "0:1", "0:1:", ":1:2", "0:1:2:3", "0:1:2,", ",0:1:2",
        "a:1:2", "0:1:-2", "-1:1:2", "0:1:0", "0 :1:2", "0:1:2 ",
        "0:1:4294967296", "0x1:1:2"}) {
    INFO(map);
    CHECK(ParseIdMap(map).status().code() ==
          absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace hydra
