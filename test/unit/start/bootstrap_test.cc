#include "cmd/containerd-shim-hydra-v1/bootstrap.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "containerd/runc/v1/options.pb.h"
#include "containerd/runtime/bootstrap.pb.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

using containerd::runtime::bootstrap::v1::BootstrapParams;
using containerd::runtime::bootstrap::v1::BootstrapResult;

Flags FlagsOf(const std::string& container_namespace, const std::string& id) {
  Flags flags;
  flags.container_namespace = container_namespace;
  flags.id = id;
  flags.address = "/run/c.sock";
  return flags;
}

google::protobuf::Any RuncOptions(const std::string& root) {
  containerd::runc::v1::Options options;
  options.set_root(root);
  google::protobuf::Any any;
  any.set_type_url("containerd.runc.v1.Options");
  any.set_value(options.SerializeAsString());
  return any;
}

TEST_CASE("no input is an old engine without options", "[start]") {
  const auto bootstrap = DecodeBootstrap("", FlagsOf("ns", "x"));
  REQUIRE(bootstrap.ok());
  CHECK_FALSE(bootstrap->is_message);
  CHECK(bootstrap->options.type_url().empty());
  CHECK(bootstrap->grpc_address == "/run/c.sock");
  CHECK(EncodeAnswer(*bootstrap, "unix:///s") == "unix:///s");
}

TEST_CASE("gRPC is told in JSON", "[start]") {
  auto bootstrap = DecodeBootstrap("", FlagsOf("ns", "x"));
  REQUIRE(bootstrap.ok());
  bootstrap->protocol = "grpc";
  const auto answer =
      nlohmann::json::parse(EncodeAnswer(*bootstrap, "unix:///s"));
  CHECK(answer == nlohmann::json{{"version", 2},
                                 {"address", "/s"},
                                 {"protocol", "grpc"}});
}

TEST_CASE("an Any is an old engine's options", "[start]") {
  // Its value is UTF-8, so it parses as BootstrapParams too.
  const auto any = RuncOptions("/r");
  const std::string input = any.SerializeAsString();
  REQUIRE(BootstrapParams().ParseFromString(input));
  const auto bootstrap = DecodeBootstrap(input, FlagsOf("ns", "x"));
  REQUIRE(bootstrap.ok());
  CHECK_FALSE(bootstrap->is_message);
  CHECK(bootstrap->options.type_url() == any.type_url());
  CHECK(bootstrap->options.value() == any.value());
}

TEST_CASE("parameters that name this container are a new engine's", "[start]") {
  BootstrapParams params;
  params.set_instance_id("x");
  params.set_namespace_("ns");
  params.set_containerd_ttrpc_address("/run/c.sock.ttrpc");
  params.set_containerd_grpc_address("/run/other.sock");
  params.set_log_level(containerd::runtime::bootstrap::v1::LOG_LEVEL_TRACE);
  params.add_extensions()->mutable_value()->set_type_url("something.Else");
  *params.add_extensions()->mutable_value() = RuncOptions("/r");
  const auto bootstrap =
      DecodeBootstrap(params.SerializeAsString(), FlagsOf("ns", "x"));
  REQUIRE(bootstrap.ok());
  CHECK(bootstrap->is_message);
  CHECK(bootstrap->debug);
  CHECK(bootstrap->ttrpc_address == "/run/c.sock.ttrpc");
  CHECK(bootstrap->grpc_address == "/run/c.sock");
  CHECK(bootstrap->options.type_url() == "containerd.runc.v1.Options");

  BootstrapResult result;
  REQUIRE(result.ParseFromString(EncodeAnswer(*bootstrap, "unix:///s")));
  CHECK(result.version() == 2);
  CHECK(result.address() == "unix:///s");
  CHECK(result.protocol() == "ttrpc");
  CHECK(result.capabilities_size() == 0);
}

TEST_CASE("levels above debug do not debug", "[start]") {
  BootstrapParams params;
  params.set_instance_id("x");
  params.set_namespace_("ns");
  for (int level : {-3, 0, 4, 12, 100}) {
    params.set_log_level(
        static_cast<containerd::runtime::bootstrap::v1::LogLevel>(level));
    CHECK_FALSE(
        DecodeBootstrap(params.SerializeAsString(), FlagsOf("ns", "x"))->debug);
  }
}

TEST_CASE("parameters of another container are not taken", "[start]") {
  BootstrapParams params;
  params.set_instance_id("other");
  params.set_namespace_("ns");
  const auto bootstrap =
      DecodeBootstrap(params.SerializeAsString(), FlagsOf("ns", "x"));
  // It parses as an Any of a type that nobody knows.
  REQUIRE(bootstrap.ok());
  CHECK_FALSE(bootstrap->is_message);
  CHECK(bootstrap->options.type_url() == "other");
}

TEST_CASE("garbage is refused", "[start]") {
  for (const char* input : {"\xff\xff", "{}", "unix:///x"}) {
    const auto bootstrap = DecodeBootstrap(input, FlagsOf("ns", "x"));
    CHECK(absl::IsInvalidArgument(bootstrap.status()));
  }
}

}  // namespace
}  // namespace hydra
