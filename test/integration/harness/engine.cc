#include "test/integration/harness/engine.h"

#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "test/integration/harness/files.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {
namespace {

// The suite whose CNI plugins are used, with every engine.
constexpr char kCniSuite[] = "bookworm";

std::string SuiteDirectory(const std::string& suite) {
  return std::string(HYDRA_TEST_ENGINES_DIR) + "/" + suite;
}

std::string Environment(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : value;
}

}  // namespace

Engine::Engine(std::string suite) : suite_(std::move(suite)) {
  if (!Missing().empty()) return;
  // "containerd github.com/containerd/containerd 1.6.20~ds1 ..."
  const std::vector<std::string> words =
      Words(Run({Program("containerd"), "--version"}).out);
  if (words.size() < 3) return;
  (void)sscanf(words[2].c_str(), "%d.%d", &major_, &minor_);
}

std::string Engine::Missing() const {
  if (suite_.empty()) return {};
  const std::string directory = SuiteDirectory(suite_);
  if (access((directory + "/versions").c_str(), R_OK) == 0) return {};
  return ReadFile(directory + ".reason")
      .value_or("no engine of " + suite_ +
                " here: test/engines/fetch.sh fetches it");
}

std::vector<std::string> Engine::Directories() const {
  std::vector<std::string> directories;
  if (!suite_.empty()) {
    directories = {SuiteDirectory(suite_) + "/usr/bin",
                   SuiteDirectory(suite_) + "/usr/sbin"};
  }
  const std::string path = Environment("PATH", "/usr/bin:/bin");
  for (size_t start = 0; start < path.size();) {
    size_t end = path.find(':', start);
    if (end == std::string::npos) end = path.size();
    directories.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return directories;
}

std::string Engine::Path() const {
  std::string path;
  for (const std::string& directory : Directories()) {
    if (!path.empty()) path += ':';
    path += directory;
  }
  return path;
}

std::string Engine::Program(const std::string& name) const {
  for (const std::string& directory : Directories()) {
    std::string candidate = directory + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return name;
}

std::string Engine::CniDirectory() const {
  std::string directory = SuiteDirectory(kCniSuite) + "/usr/lib/cni";
  return access(directory.c_str(), X_OK) == 0 ? directory : std::string();
}

const Engine& TestEngine() {
  static const Engine engine(Environment("HYDRA_TEST_ENGINE", ""));
  return engine;
}

}  // namespace hydra::testing
