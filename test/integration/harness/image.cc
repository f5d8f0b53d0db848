#include "test/integration/harness/image.h"

#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
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

void WriteImage(const std::string& path) {
  const std::string work = path + ".d";
  WriteRootfs(work + "/layer");
  Tool({"tar", "--numeric-owner", "--owner=0", "--group=0", "-C",
        work + "/layer", "-cf", work + "/layer.tar", "."});
  const std::string digest =
      Tool({"sha256sum", work + "/layer.tar"}).substr(0, 64);
  WriteFile(
      work + "/config.json",
      R"({"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],)"
      R"("Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:)" +
          digest + R"("]}})");
  WriteFile(work + "/manifest.json",
            R"([{"Config":"config.json","RepoTags":["hydra/test:1"],)"
            R"("Layers":["layer.tar"]}])");
  Tool({"tar", "-C", work, "-cf", path, "manifest.json", "config.json",
        "layer.tar"});
  std::error_code error;
  fs::remove_all(work, error);
}

}  // namespace hydra::testing
