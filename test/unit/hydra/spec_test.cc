#include "cmd/hydra/spec.h"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "cmd/hydra/bundle.h"

namespace hydra::command {
namespace {

using Json = nlohmann::ordered_json;

SpecOptions Options() {
  SpecOptions options;
  options.rootfs = "/nosuch";
  options.command = {"sh"};
  options.directory = "/";
  options.hostname = "box";
  options.cgroups_path = "/c";
  return options;
}

Json Made(const SpecOptions& options) {
  const absl::StatusOr<Json> spec = MakeSpec(options);
  REQUIRE(spec.ok());
  return *spec;
}

bool Has(const Json& list, const std::string& name, const Json& value) {
  for (const Json& entry : list) {
    if (entry.is_object() && entry.value(name, Json()) == value) return true;
  }
  return false;
}

TEST_CASE("a spec of a root file system and a command", "[hydra]") {
  const Json spec = Made(Options());
  CHECK(spec["process"]["args"] == Json{"sh"});
  CHECK(spec["process"]["cwd"] == "/");
  CHECK(spec["process"]["user"] == Json{{"uid", 0}, {"gid", 0}});
  CHECK(spec["root"]["path"] == "/nosuch");
  CHECK(spec["root"]["readonly"] == false);
  CHECK(spec["linux"]["cgroupsPath"] == "/c");
  for (const char* type : {"pid", "ipc", "uts", "mount", "network"}) {
    CHECK(Has(spec["linux"]["namespaces"], "type", type));
  }
  CHECK_FALSE(Has(spec["linux"]["namespaces"], "type", "user"));
  CHECK_FALSE(spec["linux"]["maskedPaths"].empty());
  for (const char* target : {"/proc", "/dev", "/dev/pts", "/sys"}) {
    CHECK(Has(spec["mounts"], "destination", target));
  }
  CHECK_FALSE(spec.contains("annotations"));
}

TEST_CASE("what options make of a spec", "[hydra]") {
  SpecOptions options = Options();
  options.terminal = true;
  options.environment = {"A=1"};
  options.user = "7";
  options.host_network = true;
  options.volumes = {{"/from", "/to", true}};
  options.tmpfs = {"/tmp"};
  options.memory_bytes = 64 << 20;
  options.cpus = 1.5;
  options.pids = 50;
  options.annotations = {{"x", "y"}};
  const Json spec = Made(options);
  CHECK(spec["process"]["terminal"] == true);
  CHECK(spec["process"]["env"].back() == "A=1");
  CHECK(spec["process"]["user"] == Json{{"uid", 7}, {"gid", 0}});
  CHECK_FALSE(Has(spec["linux"]["namespaces"], "type", "network"));
  CHECK(Has(spec["mounts"], "source", "/from"));
  CHECK(Has(spec["mounts"], "destination", "/tmp"));
  const Json& resources = spec["linux"]["resources"];
  CHECK(resources["memory"]["limit"] == 64 << 20);
  CHECK(resources["cpu"]["quota"] == 150'000);
  CHECK(resources["cpu"]["period"] == 100'000);
  CHECK(resources["pids"]["limit"] == 50);
  CHECK(spec["annotations"]["x"] == "y");
}

TEST_CASE("capabilities of a spec", "[hydra]") {
  const auto count = [](const SpecOptions& options) {
    return Made(options)["process"]["capabilities"]["effective"].size();
  };
  SpecOptions options = Options();
  const size_t usual = count(options);
  options.drop_capabilities = {"chown", "CAP_KILL"};
  CHECK(count(options) == usual - 2);
  options.drop_capabilities = {"ALL"};
  CHECK(count(options) == 0);
  options.add_capabilities = {"net_admin"};
  CHECK(count(options) == 1);
  options.privileged = true;
  options.drop_capabilities = {};
  CHECK(count(options) > usual);
  options.add_capabilities = {"bogus"};
  CHECK(absl::IsInvalidArgument(MakeSpec(options).status()));
}

TEST_CASE("a spec for an ordinary user", "[hydra]") {
  SpecOptions options = Options();
  options.rootless = true;
  const Json spec = Made(options);
  CHECK(Has(spec["linux"]["namespaces"], "type", "user"));
  CHECK(spec["linux"]["uidMappings"][0]["containerID"] == 0);
  CHECK_FALSE(spec["linux"].contains("cgroupsPath"));
  CHECK_FALSE(spec["linux"]["resources"].contains("devices"));
}

TEST_CASE("a user who is not there", "[hydra]") {
  SpecOptions options = Options();
  for (const char* user : {"nobody-here", "7:nobody-here"}) {
    options.user = user;
    CHECK(absl::IsInvalidArgument(MakeSpec(options).status()));
  }
}

// ---- a bundle's config.json ----

class BundleTest {
 public:
  BundleTest() { REQUIRE(mkdtemp(directory_.data()) != nullptr); }
  ~BundleTest() { std::filesystem::remove_all(directory_); }

  absl::StatusOr<Json> Load(const std::string& text,
                            const SpecOptions& options = {}) {
    const std::string path = directory_ + "/config.json";
    std::ofstream(path) << text;
    return LoadConfig(path, "/bundle", options, "/cgroup");
  }

 private:
  std::string directory_ = "/tmp/hydra-spec-XXXXXX";
};

TEST_CASE_METHOD(BundleTest, "a bundle's config.json elsewhere", "[hydra]") {
  const std::string text = R"({
    "process": {"args": ["a"], "env": ["A=1", "B=2"], "cwd": "/"},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/x", "source": "x", "options": ["rbind"]},
               {"destination": "/y", "type": "tmpfs", "source": "tmpfs"}],
    "linux": {"resources": {"memory": {"limit": 1, "swap": 2}}}})";
  SpecOptions options;
  options.environment = {"A=3", "C=4"};
  options.command = {"b", "c"};
  options.memory_bytes = 5;
  options.user = "7:8";
  const absl::StatusOr<Json> spec = Load(text, options);
  REQUIRE(spec.ok());
  CHECK((*spec)["root"]["path"] == "/bundle/rootfs");
  CHECK((*spec)["mounts"][0]["source"] == "/bundle/x");
  CHECK((*spec)["mounts"][1]["source"] == "tmpfs");
  CHECK((*spec)["process"]["args"] == Json{"b", "c"});
  CHECK((*spec)["process"]["env"] == Json{"A=3", "B=2", "C=4"});
  CHECK((*spec)["process"]["user"] == Json{{"uid", 7}, {"gid", 8}});
  CHECK((*spec)["linux"]["cgroupsPath"] == "/cgroup");
  CHECK((*spec)["linux"]["resources"]["memory"] ==
        Json{{"limit", 5}, {"swap", 2}});
}

TEST_CASE_METHOD(BundleTest, "a config.json that is none", "[hydra]") {
  for (const char* text :
       {"", "{", "[]", "{}", R"({"process": {}})", R"({"process": 1})",
        R"({"process": {}, "root": {}})",
        R"({"process": {}, "root": {"path": 1}})",
        R"({"process": {"args": "a"}, "root": {"path": "r"}})",
        R"({"process": {"args": [1]}, "root": {"path": "r"}})",
        R"({"process": {"args": []}, "root": {"path": "r"}})",
        R"({"process": {"args": ["a"], "terminal": 1},
            "root": {"path": "r"}})",
        R"({"process": {"args": ["a"]}, "root": {"path": "r"},
            "mounts": {}})",
        R"({"process": {"args": ["a"]}, "root": {"path": "r"},
            "mounts": [{"type": 1, "source": "x"}]})",
        R"({"process": {"args": ["a"]}, "root": {"path": "r"},
            "linux": []})",
        R"({"process": {"args": ["a"], "env": "A"}, "root": {"path": "r"},
            "linux": {"cgroupsPath": 1}})",
        R"({"process": {"args": ["a"]}, "root": {"path": "r"},
            "linux": {"resources": []}})"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(Load(text).status()));
  }
}

}  // namespace
}  // namespace hydra::command
