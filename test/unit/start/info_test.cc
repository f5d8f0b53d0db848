#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "containerd/runc/v1/options.pb.h"
#include "containerd/types/runtime_info.pb.h"
#include "test/unit/start/sandbox.h"

namespace hydra::test {
namespace {

// An Any of runc's options that name `binary`.
std::string OptionsOf(const std::string& binary) {
  containerd::runc::v1::Options options;
  options.set_binary_name(binary);
  google::protobuf::Any any;
  any.set_type_url("containerd.runc.v1.Options");
  any.set_value(options.SerializeAsString());
  return any.SerializeAsString();
}

TEST_CASE("Flag -v prints the version", "[info]") {
  Sandbox sandbox;
  for (const char* flag : {"-v", "-version"}) {
    const Outcome outcome = sandbox.RunBare({flag});
    CHECK(outcome.exit_status == 0);
    CHECK(outcome.output ==
          "containerd-shim-hydra-v1:\n  Version:  " HYDRA_VERSION "\n");
    CHECK(outcome.errors.empty());
  }
}

TEST_CASE("Flag -info has the features of the OCI runtime", "[info]") {
  Sandbox sandbox;
  const std::string runtime = sandbox.root() + "/runtime";
  std::ofstream(runtime) << "#!/bin/sh\n[ \"$*\" = features ] || exit 1\n"
                            "printf '{\"ociVersionMin\":\"1.0.0\"}'\n";
  REQUIRE(chmod(runtime.c_str(), 0755) == 0);
  const Outcome outcome = sandbox.RunBare({"-info"}, OptionsOf(runtime));
  REQUIRE(outcome.exit_status == 0);
  CHECK(outcome.errors.empty());
  containerd::types::RuntimeInfo info;
  REQUIRE(info.ParseFromString(outcome.output));
  CHECK(info.name() == "io.containerd.hydra.v1");
  CHECK(info.version().version() == HYDRA_VERSION);
  CHECK(info.options().SerializeAsString() == OptionsOf(runtime));
  CHECK(info.features().type_url() ==
        "types.containerd.io/opencontainers/runtime-spec/1/features/Features");
  CHECK(info.features().value() == "{\"ociVersionMin\":\"1.0.0\"}");
}

TEST_CASE("Flag -info goes without the features of a runtime that has none",
          "[info]") {
  Sandbox sandbox;
  const Outcome outcome = sandbox.RunBare({"-info"}, OptionsOf("false"));
  REQUIRE(outcome.exit_status == 0);
  containerd::types::RuntimeInfo info;
  REQUIRE(info.ParseFromString(outcome.output));
  CHECK_FALSE(info.has_features());
}

TEST_CASE("Flag -info without an OCI runtime is an error", "[info]") {
  Sandbox sandbox;
  const Outcome outcome =
      sandbox.RunBare({"-info"}, OptionsOf("/nonexistent/runc"));
  CHECK(outcome.exit_status == 1);
  CHECK(outcome.output.empty());
  CHECK(outcome.errors ==
        "containerd-shim-hydra-v1: info: execute /nonexistent/runc: No such "
        "file or directory\n");
}

TEST_CASE("wrong arguments are one line and exit status 1", "[start]") {
  Sandbox sandbox;
  for (const auto& arguments :
       {std::vector<std::string>{"-nope"}, {"restart"}, {"-debug", "x"}}) {
    const Outcome outcome = sandbox.RunBare(arguments);
    CHECK(outcome.exit_status == 1);
    CHECK(outcome.output.empty());
    CHECK(std::count(outcome.errors.begin(), outcome.errors.end(), '\n') == 1);
  }
}

}  // namespace
}  // namespace hydra::test
