#include "shim/runtime/options.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "containerd/runtimeoptions/v1/options.pb.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

google::protobuf::Any AnyOf(const std::string& type,
                            const google::protobuf::MessageLite& message) {
  google::protobuf::Any any;
  any.set_type_url(type);
  any.set_value(message.SerializeAsString());
  return any;
}

TEST_CASE("no options are the defaults", "[runtime]") {
  google::protobuf::Any any;
  auto options = DecodeOptions(any);
  REQUIRE(options.ok());
  CHECK(options->options.ByteSizeLong() == 0);
  CHECK(options->warnings.empty());
  for (const char* type :
       {"containerd.runc.v1.Options", "runtimeoptions.v1.Options"}) {
    any.set_type_url(type);
    options = DecodeOptions(any);
    REQUIRE(options.ok());
    CHECK(options->options.ByteSizeLong() == 0);
  }
}

TEST_CASE("runc's options are taken under a bare and a prefixed name",
          "[runtime]") {
  containerd::runc::v1::Options sent;
  sent.set_binary_name("/usr/bin/crun");
  sent.set_systemd_cgroup(true);
  sent.set_io_uid(7);
  for (const char* type : {"containerd.runc.v1.Options",
                           "type.googleapis.com/containerd.runc.v1.Options"}) {
    const auto options = DecodeOptions(AnyOf(type, sent));
    REQUIRE(options.ok());
    CHECK(options->options.SerializeAsString() == sent.SerializeAsString());
  }
}

TEST_CASE("another type is refused by name", "[runtime]") {
  for (const char* type : {"foo.Options", "xcontainerd.runc.v1.Options",
                           "containerd.runc.v1.Options/"}) {
    google::protobuf::Any any;
    any.set_type_url(type);
    const auto options = DecodeOptions(any);
    CHECK(absl::IsInvalidArgument(options.status()));
    CHECK(Message(options.status()).find(type) != std::string::npos);
  }
  google::protobuf::Any untyped;
  untyped.set_value("x");
  CHECK(absl::IsInvalidArgument(DecodeOptions(untyped).status()));
}

TEST_CASE("a value that is not the type's is refused", "[runtime]") {
  for (const char* type :
       {"containerd.runc.v1.Options", "runtimeoptions.v1.Options"}) {
    google::protobuf::Any any;
    any.set_type_url(type);
    any.set_value("\xff\xff\xff");
    CHECK(absl::IsInvalidArgument(DecodeOptions(any).status()));
  }
}

TEST_CASE("every key of CRI's table is understood", "[runtime]") {
  runtimeoptions::v1::Options generic;
  generic.set_config_body(R"(
BinaryName = "/usr/bin/crun"
Root = "/run/r"
ShimCgroup = "/c"
CriuImagePath = "/i"
CriuWorkPath = "/w"
SystemdCgroup = true
NoPivotRoot = true
NoNewKeyring = true
IoUid = 4294967295
IoGid = 5
)");
  const auto result =
      DecodeOptions(AnyOf("runtimeoptions.v1.Options", generic));
  REQUIRE(result.ok());
  CHECK(result->warnings.empty());
  const auto& options = result->options;
  CHECK(options.binary_name() == "/usr/bin/crun");
  CHECK(options.root() == "/run/r");
  CHECK(options.shim_cgroup() == "/c");
  CHECK(options.criu_image_path() == "/i");
  CHECK(options.criu_work_path() == "/w");
  CHECK(options.systemd_cgroup());
  CHECK(options.no_pivot_root());
  CHECK(options.no_new_keyring());
  CHECK(options.io_uid() == 4294967295u);
  CHECK(options.io_gid() == 5);
}

TEST_CASE("the engine's protocol is ttrpc, or what the file says",
          "[runtime]") {
  CHECK(ParseOptionsToml("", "f")->protocol == "ttrpc");
  CHECK(ParseOptionsToml("protocol = \"ttrpc\"", "f")->protocol == "ttrpc");
  CHECK(ParseOptionsToml("protocol = \"grpc\"", "f")->protocol == "grpc");
}

TEST_CASE("an unknown key is a warning", "[runtime]") {
  const auto result = ParseOptionsToml("Nope = 1\nRoot = \"/r\"", "f.toml");
  REQUIRE(result.ok());
  CHECK(result->options.root() == "/r");
  REQUIRE(result->warnings.size() == 1);
  CHECK(result->warnings[0] ==
        "runtime options f.toml: unknown key Nope, ignoring");
}

TEST_CASE("a wrong type is an error that names the key", "[runtime]") {
  for (const auto& [text, key] :
       {std::pair{"BinaryName = 1", "BinaryName is not a string"},
        std::pair{"SystemdCgroup = \"true\"", "SystemdCgroup is not a boolean"},
        std::pair{"IoUid = -1", "IoUid is not a user or group id"},
        std::pair{"IoGid = 4294967296", "IoGid is not a user or group id"},
        std::pair{"IoGid = 1.5", "IoGid is not a user or group id"},
        std::pair{"protocol = 1", "protocol is not \"ttrpc\" or \"grpc\""},
        std::pair{"protocol = \"http\"",
                  "protocol is not \"ttrpc\" or \"grpc\""},
        std::pair{"[Root]\nx = 1", "Root is not a string"}}) {
    const auto result = ParseOptionsToml(text, "f");
    CHECK(absl::IsInvalidArgument(result.status()));
    CHECK(Message(result.status()) ==
          std::string("parse runtime options f: ") + key);
  }
}

TEST_CASE("TOML that does not parse is an error with its line", "[runtime]") {
  const auto result = ParseOptionsToml("Root = \"/r\"\nx = = 1\n", "f");
  CHECK(absl::IsInvalidArgument(result.status()));
  CHECK(
      Message(result.status()).rfind("parse runtime options f: line 2: ", 0) ==
      0);
}

// The parser asserts, in the middle of it, what does not hold for these.
TEST_CASE("what the TOML parser cannot bear is an error", "[runtime]") {
  for (const char* text :
       {"[=x]", "[=ab \" t\"}]\n", "[[=", "[.a]", "\xEF\xBB\xB5"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(ParseOptionsToml(text, "x").status()));
  }
}

TEST_CASE("a config file is read, and a missing one named", "[runtime]") {
  char path[] = "/tmp/hydra-options-XXXXXX";
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  close(fd);
  std::ofstream(path) << "Root = \"/from-file\"\n";
  runtimeoptions::v1::Options generic;
  generic.set_config_path(path);
  auto result = DecodeOptions(AnyOf("runtimeoptions.v1.Options", generic));
  REQUIRE(result.ok());
  CHECK(result->options.root() == "/from-file");
  generic.set_config_body("Root = \"/from-body\"");
  result = DecodeOptions(AnyOf("runtimeoptions.v1.Options", generic));
  CHECK(result->options.root() == "/from-body");
  generic.clear_config_body();
  CHECK(unlink(path) == 0);
  result = DecodeOptions(AnyOf("runtimeoptions.v1.Options", generic));
  CHECK(absl::IsNotFound(result.status()));
  CHECK(Message(result.status()).find(path) != std::string::npos);
}

}  // namespace
}  // namespace hydra
