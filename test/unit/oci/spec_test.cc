#include "shim/oci/spec.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "shim/base/status.h"

namespace hydra {
namespace {

TEST_CASE("a spec with every field that we need is read", "[oci]") {
  const auto spec = ParseSpec(R"({
    "ociVersion": "1.0.2",
    "annotations": {"a": "1", "b/c": ""},
    "process": {"terminal": true, "args": ["sh"],
                "consoleSize": {"height": 24, "width": 80}},
    "root": {"path": "rootfs", "readonly": true},
    "linux": {
      "cgroupsPath": "system.slice:docker:x",
      "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
      "namespaces": [{"type": "mount"}, {"type": "pid"}]}})");
  REQUIRE(spec.ok());
  CHECK(spec->annotations ==
        std::map<std::string, std::string>{{"a", "1"}, {"b/c", ""}});
  CHECK(spec->terminal);
  REQUIRE(spec->console_size.has_value());
  CHECK(spec->console_size->rows == 24);
  CHECK(spec->console_size->columns == 80);
  CHECK(spec->root_path == "rootfs");
  CHECK(spec->cgroups_path == "system.slice:docker:x");
  CHECK(spec->has_private_pid_namespace);
  CHECK(spec->has_user_mappings);
}

TEST_CASE("an empty spec has the defaults", "[oci]") {
  const auto spec = ParseSpec("{}");
  REQUIRE(spec.ok());
  CHECK(spec->annotations.empty());
  CHECK_FALSE(spec->terminal);
  CHECK_FALSE(spec->console_size.has_value());
  CHECK(spec->root_path.empty());
  CHECK(spec->cgroups_path.empty());
  CHECK_FALSE(spec->has_private_pid_namespace);
  CHECK_FALSE(spec->has_user_mappings);
}

TEST_CASE("a null field counts as absent, as in Go", "[oci]") {
  const auto spec = ParseSpec(
      R"({"annotations": null, "process": null,
          "linux": {"namespaces": null, "cgroupsPath": null}})");
  REQUIRE(spec.ok());
  CHECK(spec->annotations.empty());
}

TEST_CASE("a pid namespace with a path is not private", "[oci]") {
  const auto spec = ParseSpec(
      R"({"linux": {"namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}],
                    "gidMappings": []}})");
  REQUIRE(spec.ok());
  CHECK_FALSE(spec->has_private_pid_namespace);
  CHECK_FALSE(spec->has_user_mappings);
}

TEST_CASE("a console size past 16 bits becomes the largest", "[oci]") {
  const auto spec = ParseSpec(
      R"({"process": {"consoleSize": {"height": 70000, "width": 1}}})");
  REQUIRE(spec.ok());
  CHECK(spec->console_size->rows == 65535);
}

TEST_CASE("a wrong type is an error that names file and key", "[oci]") {
  struct Case {
    const char* text;
    const char* key;
  };
  const Case cases[] = {
      {R"({"annotations": []})", "annotations is not an object"},
      {R"({"annotations": {"a": 1}})", "annotations.a is not a string"},
      {R"({"process": 1})", "process is not an object"},
      {R"({"process": {"terminal": "yes"}})",
       "process.terminal is not a boolean"},
      {R"({"process": {"consoleSize": {"height": -1}}})",
       "process.consoleSize.height is not a number that is not negative"},
      {R"({"root": {"path": 1}})", "root.path is not a string"},
      {R"({"linux": {"cgroupsPath": {}}})",
       "linux.cgroupsPath is not a string"},
      {R"({"linux": {"namespaces": {}}})", "linux.namespaces is not an array"},
      {R"({"linux": {"namespaces": [1]}})",
       "linux.namespaces[0] is not an object"},
      {R"({"linux": {"namespaces": [{"type": 1}]}})",
       "linux.namespaces[0].type is not a string"},
      {R"({"linux": {"uidMappings": "x"}})",
       "linux.uidMappings is not an array"},
  };
  for (const Case& c : cases) {
    const auto spec = ParseSpec(c.text, "/b/config.json");
    REQUIRE_FALSE(spec.ok());
    CHECK(absl::IsInvalidArgument(spec.status()));
    CHECK(Message(spec.status()) ==
          std::string("parse /b/config.json: ") + c.key);
  }
}

TEST_CASE("what is no JSON object is an error", "[oci]") {
  for (const char* text : {"", "{", "[]", "null", "\"x\"", "{}x", "\xff"}) {
    const auto spec = ParseSpec(text, "f");
    REQUIRE_FALSE(spec.ok());
    CHECK(absl::IsInvalidArgument(spec.status()));
    CHECK(Message(spec.status()).rfind("parse f: not ", 0) == 0);
  }
  // Nesting must not cost stack.
  CHECK_FALSE(ParseSpec(std::string(1'000'000, '[')).ok());
  CHECK(ParseSpec("{\"x\":" + std::string(100'000, '[') +
                  std::string(100'000, ']') + "}")
            .ok());
}

TEST_CASE("a missing file is NotFound and named", "[oci]") {
  const auto spec = LoadSpec("/nonexistent/config.json");
  REQUIRE_FALSE(spec.ok());
  CHECK(absl::IsNotFound(spec.status()));
  CHECK(Message(spec.status()).find("/nonexistent/config.json") !=
        std::string::npos);
}

TEST_CASE("a file is read, and one over the limit refused", "[oci]") {
  char path[] = "/tmp/hydra-spec-XXXXXX";
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  close(fd);
  std::ofstream(path) << R"({"root": {"path": "/r"}})";
  const auto spec = LoadSpec(path);
  REQUIRE(spec.ok());
  CHECK(spec->root_path == "/r");
  // Sparse, so this writes nothing.
  REQUIRE(truncate(path, static_cast<off_t>(kMaxSpecSize) + 1) == 0);
  CHECK(absl::IsInvalidArgument(LoadSpec(path).status()));
  CHECK(unlink(path) == 0);
}

}  // namespace
}  // namespace hydra
