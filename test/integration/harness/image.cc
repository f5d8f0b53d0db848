#include "test/integration/harness/image.h"

#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "test/integration/harness/files.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kBusybox[] = "/bin/busybox";
constexpr std::array<const char*, 18> kApplets = {
    "cat", "chmod", "dd",  "echo", "env",   "false", "head", "id",  "kill",
    "ls",  "ps",    "seq", "sh",   "sleep", "stty",  "true", "tty", "wc"};

// Runs a tool that must succeed; its output.
std::string Tool(const std::vector<std::string>& argv) {
  const Result result = Run(argv);
  if (result.status != 0) FAIL(argv[0] << ": " << result.err);
  return result.out;
}

}  // namespace

void WriteRootfs(const std::string& directory) {
  std::error_code error;
  for (const char* name :
       {"bin", "payload", "proc", "sys", "dev", "tmp", "etc", "root", "run"}) {
    fs::create_directories(directory + "/" + name, error);
  }
  fs::copy_file(kBusybox, directory + "/bin/busybox", error);
  if (error) FAIL("copy " << kBusybox << ": " << error.message());
  for (const char* applet : kApplets) {
    fs::create_symlink("busybox", directory + "/bin/" + applet, error);
  }
  for (const auto& program :
       fs::directory_iterator(HYDRA_TEST_PAYLOAD_DIR, error)) {
    fs::copy_file(program.path(),
                  directory + "/payload/" + program.path().filename().string(),
                  error);
  }
  if (error) FAIL("copy " << HYDRA_TEST_PAYLOAD_DIR << ": " << error.message());
}

void WriteImage(const std::string& path, bool with_pause) {
  using nlohmann::json;
  const std::string work = path + ".d";
  WriteRootfs(work + "/layer");
  Tool({"tar", "--numeric-owner", "--owner=0", "--group=0", "-C",
        work + "/layer", "-cf", work + "/layer.tar", "."});
  const std::string digest =
      Tool({"sha256sum", work + "/layer.tar"}).substr(0, 64);
  std::vector<std::pair<std::string, json>> images = {
      {"hydra/test:1", {"/bin/sh"}}};
  if (with_pause) {
    images.push_back({"hydra/pause:1", {"/bin/sleep", "1000000"}});
  }
  std::vector<std::string> archive = {
      "tar", "-C", work, "-cf", path, "manifest.json", "layer.tar"};
  json manifest = json::array();
  for (const auto& [name, command] : images) {
    const std::string file =
        "config" + std::to_string(manifest.size()) + ".json";
    const json config = {
        {"architecture", "amd64"},
        {"os", "linux"},
        {"config", {{"Env", {"PATH=/bin"}}, {"Cmd", command}}},
        {"rootfs", {{"type", "layers"}, {"diff_ids", {"sha256:" + digest}}}}};
    WriteFile(work + "/" + file, config.dump());
    manifest.push_back(
        {{"Config", file}, {"RepoTags", {name}}, {"Layers", {"layer.tar"}}});
    archive.push_back(file);
  }
  WriteFile(work + "/manifest.json", manifest.dump());
  Tool(archive);
  std::error_code error;
  fs::remove_all(work, error);
}

}  // namespace hydra::testing
