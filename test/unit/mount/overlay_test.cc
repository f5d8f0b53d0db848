#include "shim/mount/overlay.h"

#include <catch2/catch.hpp>

namespace hydra {
namespace {

using Data = std::vector<std::string>;

TEST_CASE("Lower directories become relative to their common one",
          "[mount][overlay]") {
  const auto relative = MakeLowerdirsRelative(
      {"index=off", "lowerdir=/s/snapshots/12/fs:/s/snapshots/1/fs",
       "upperdir=/s/snapshots/13/fs"});
  REQUIRE(relative.has_value());
  CHECK(relative->directory == "/s/snapshots");
  CHECK(relative->count == 2);
  CHECK(relative->data == Data{"index=off", "lowerdir=12/fs:1/fs",
                               "upperdir=/s/snapshots/13/fs"});
}

TEST_CASE("A single lower directory is relative to its parent",
          "[mount][overlay]") {
  const auto relative = MakeLowerdirsRelative({"lowerdir=/s/1/fs"});
  REQUIRE(relative.has_value());
  CHECK(relative->directory == "/s/1");
  CHECK(relative->count == 1);
  CHECK(relative->data == Data{"lowerdir=fs"});
}

TEST_CASE("A name that another begins with is not cut", "[mount][overlay]") {
  const auto relative = MakeLowerdirsRelative({"lowerdir=/s/ab:/s/abc"});
  REQUIRE(relative.has_value());
  CHECK(relative->directory == "/s");
  CHECK(relative->data == Data{"lowerdir=ab:abc"});
}

TEST_CASE("A lower directory inside another", "[mount][overlay]") {
  auto relative = MakeLowerdirsRelative({"lowerdir=/s/a:/s/a/b"});
  REQUIRE(relative.has_value());
  CHECK(relative->directory == "/s");
  CHECK(relative->data == Data{"lowerdir=a:a/b"});
  relative = MakeLowerdirsRelative({"lowerdir=/s/a/:/s/a/b"});
  REQUIRE(relative.has_value());
  CHECK(relative->directory == "/s/a");
  CHECK(relative->data == Data{"lowerdir=.:b"});
}

TEST_CASE("Doubled slashes do not make a relative path absolute",
          "[mount][overlay]") {
  const auto relative = MakeLowerdirsRelative({"lowerdir=/s/a:/s//b"});
  REQUIRE(relative.has_value());
  CHECK(relative->directory == "/s");
  CHECK(relative->data == Data{"lowerdir=a:b"});
}

TEST_CASE("Escaped colons do not separate", "[mount][overlay]") {
  const auto relative =
      MakeLowerdirsRelative({R"(lowerdir=/s\:x/a\:1:/s\:x/b\\)"});
  REQUIRE(relative.has_value());
  CHECK(relative->directory == "/s:x");
  CHECK(relative->count == 2);
  CHECK(relative->data == Data{R"(lowerdir=a\:1:b\\)"});
}

TEST_CASE("Lower directories without a common one stay as they are",
          "[mount][overlay]") {
  for (const char* option :
       {"lowerdir=/a:/b", "lowerdir=/a/x:/b/x", "lowerdir=/a",
        "lowerdir=", "lowerdir=/a/b::/a/c", "lowerdir=a:b", "upperdir=/a/b"}) {
    INFO(option);
    CHECK_FALSE(MakeLowerdirsRelative({option}).has_value());
  }
  CHECK_FALSE(MakeLowerdirsRelative({}).has_value());
}

}  // namespace
}  // namespace hydra
