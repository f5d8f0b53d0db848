#include "test/unit/mount/sandbox.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "shim/mount/unmount.h"

namespace hydra {
namespace {

namespace fs = std::filesystem;

constexpr int kSkipped = 77;

void Check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "sandbox: %s: %s\n", what, std::strerror(errno));
  std::abort();
}

std::vector<std::string> MountinfoLines() {
  std::ifstream file("/proc/thread-self/mountinfo");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string MountPoint(const std::string& line) {
  std::istringstream fields(line);
  std::string field;
  for (int i = 0; i < 5; ++i) fields >> field;
  return UnescapeMountinfo(field);
}

// Catch2 v2 has no way to skip from within a test case.
class Skipper final : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;
  void testRunStarting(const Catch::TestRunInfo&) override {
    const std::string reason = SkipReason();
    if (reason.empty()) return;
    std::printf("SKIPPED: %s\n", reason.c_str());
    std::exit(kSkipped);
  }
};
CATCH_REGISTER_LISTENER(Skipper)

}  // namespace

Census TakeCensus() {
  Census census;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    const fs::path link = fs::read_symlink(entry.path(), error);
    if (!error && link.string().find("/fd") == std::string::npos) {
      census.fds.push_back(link.string());
    }
  }
  std::sort(census.fds.begin(), census.fds.end());
#if !defined(__SANITIZE_THREAD__)  // Which has a thread of its own.
  census.threads = static_cast<size_t>(
      std::distance(fs::directory_iterator("/proc/self/task"), {}));
#endif
  census.working_directory = fs::current_path().string();
  census.umask = ::umask(0);
  ::umask(census.umask);
  census.children = waitpid(-1, nullptr, WNOHANG | __WALL) >= 0;
  return census;
}

Sandbox::Sandbox() {
  Check(unshare(CLONE_NEWNS) == 0, "unshare");
  Check(mount("", "/", "", MS_PRIVATE | MS_REC, "") == 0, "make private");
  char name[] = "/tmp/hydra-mount-test-XXXXXX";
  Check(mkdtemp(name) != nullptr, "mkdtemp");
  path_ = name;
}

Sandbox::~Sandbox() {
  // Nothing may be mounted when the directory is removed with what is in it.
  std::vector<std::string> mounts = Mounts();
  for (auto point = mounts.rbegin(); point != mounts.rend(); ++point) {
    umount2(point->c_str(), MNT_DETACH);
  }
  Check(Mounts().empty(), "unmount");
  std::error_code error;
  fs::remove_all(path_, error);
  Check(!Exists(path_), "remove");
}

std::string Sandbox::Dir(const std::string& name) const {
  const std::string path = path_ + "/" + name;
  fs::create_directories(path);
  return path;
}

std::string Sandbox::File(const std::string& name,
                          const std::string& content) const {
  const fs::path path = path_ + "/" + name;
  fs::create_directories(path.parent_path());
  std::ofstream(path) << content;
  return path.string();
}

std::vector<std::string> Sandbox::Mounts() const {
  std::vector<std::string> points;
  for (const std::string& line : MountinfoLines()) {
    std::string point = MountPoint(line);
    if (point.starts_with(path_)) points.push_back(std::move(point));
  }
  return points;
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

std::string Content(const std::string& path) {
  std::ifstream file(path);
  if (!file) return "<none>";
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string MountLine(const std::string& path) {
  std::string found;
  for (const std::string& line : MountinfoLines()) {
    if (MountPoint(line) == path) found = line;
  }
  return found;
}

std::string SandboxSkipReason() {
  if (geteuid() != 0) return "not root";
  if (unshare(CLONE_NEWNS) != 0) {
    return std::string("no mount namespace: ") + std::strerror(errno);
  }
  return {};
}

}  // namespace hydra
