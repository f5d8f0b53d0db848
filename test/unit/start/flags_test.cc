#include "cmd/containerd-shim-hydra-v1/flags.h"

#include <catch2/catch.hpp>

#include "shim/base/status.h"

namespace hydra {
namespace {

TEST_CASE("flags are taken as containerd writes them", "[start]") {
  const auto flags = ParseFlags(
      {"-namespace", "moby", "-address", "/run/c.sock", "-publish-binary",
       "/usr/bin/containerd", "-id", "x", "-debug", "start"});
  REQUIRE(flags.ok());
  CHECK(flags->container_namespace == "moby");
  CHECK(flags->address == "/run/c.sock");
  CHECK(flags->id == "x");
  CHECK(flags->debug);
  CHECK(flags->verb == "start");
}

TEST_CASE("flags have Go's spellings", "[start]") {
  const auto flags = ParseFlags({"--namespace=a", "-id=b", "--bundle", "/b",
                                 "-debug=true", "-socket=", "--", "delete"});
  REQUIRE(flags.ok());
  CHECK(flags->container_namespace == "a");
  CHECK(flags->id == "b");
  CHECK(flags->bundle == "/b");
  CHECK(flags->debug);
  CHECK(flags->verb == "delete");
}

TEST_CASE("a value may look like a flag or contain =", "[start]") {
  const auto flags = ParseFlags({"-id", "-debug", "-address=a=b"});
  REQUIRE(flags.ok());
  CHECK(flags->id == "-debug");
  CHECK_FALSE(flags->debug);
  CHECK(flags->address == "a=b");
  CHECK(flags->verb.empty());
}

TEST_CASE("a boolean does not take the next argument", "[start]") {
  const auto flags = ParseFlags({"-debug=0", "-v", "false", "-info"});
  REQUIRE(flags.ok());
  CHECK_FALSE(flags->debug);
  CHECK(flags->version);
  CHECK(flags->verb == "false");
  // What comes after the first argument is no flag.
  CHECK_FALSE(flags->info);
}

TEST_CASE("a wrong flag is an error that names it", "[start]") {
  for (const auto& [arg, text] :
       {std::pair{"-nope", "flag -nope: not known"},
        std::pair{"-id", "flag -id: needs a value"},
        std::pair{"-debug=maybe", "flag -debug=maybe: not a boolean"},
        std::pair{"---id=x", "flag ---id=x: not known"},
        std::pair{"-=x", "flag -=x: not known"}}) {
    const auto flags = ParseFlags({arg});
    CHECK(absl::IsInvalidArgument(flags.status()));
    CHECK(Message(flags.status()) == text);
  }
}

}  // namespace
}  // namespace hydra
