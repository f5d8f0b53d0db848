#include "test/integration/harness/installation.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>

#include "test/integration/harness/containerd.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;
constexpr char kVariable[] = "HYDRA_TEST_BIN_DIR";

}  // namespace

Installation::Installation() : built_(BinaryDirectory()) {
  const char* before = getenv(kVariable);
  if (before != nullptr) before_ = before;
  char pattern[] = "/tmp/hydra-bin-XXXXXX";
  if (mkdtemp(pattern) == nullptr) FAIL("mkdtemp " << pattern);
  directory_ = pattern;
  InstallThis();
  // There is one of each for all versions: they only pass on what they are
  // asked.
  fs::copy_file(built_ + "/hydra-grpc", grpc());
  fs::copy_file(built_ + "/hydra", directory_ + "/hydra");
  setenv(kVariable, directory_.c_str(), 1);
}

Installation::~Installation() {
  if (before_.empty()) {
    unsetenv(kVariable);
  } else {
    setenv(kVariable, before_.c_str(), 1);
  }
  std::error_code ignored;  // What stays is in /tmp.
  fs::remove_all(directory_, ignored);
}

void Installation::InstallThis() { InstallFrom(built_); }
void Installation::InstallNext() { InstallFrom(built_ + "/next"); }

void Installation::InstallFrom(const std::string& directory) {
  for (const std::string& target : {monitor(), shim()}) {
    const std::string fresh = target + ".new";
    fs::copy_file(directory + "/" + fs::path(target).filename().string(),
                  fresh);
    fs::rename(fresh, target);
  }
}

void Installation::Replace(const std::string& program,
                           const std::string& content, unsigned mode) {
  const std::string fresh = program + ".new";
  WriteFile(fresh, content);
  chmod(fresh.c_str(), mode);
  fs::rename(fresh, program);
}

InTheReferencesPlace::InTheReferencesPlace() : before_(BinaryDirectory()) {
  std::string pattern = "/tmp/hydra-placeXXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) FAIL("mkdtemp " << pattern);
  directory_ = pattern;
  fs::create_symlink(before_ + "/" + ShimProgram(kHydraRuntime),
                     directory_ + "/" + ShimProgram(kReferenceRuntime));
  setenv(kVariable, directory_.c_str(), 1);
}

InTheReferencesPlace::~InTheReferencesPlace() {
  setenv(kVariable, before_.c_str(), 1);
  std::error_code error;
  fs::remove_all(directory_, error);
}

}  // namespace hydra::testing
