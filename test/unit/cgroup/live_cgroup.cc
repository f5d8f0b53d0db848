#include "test/unit/cgroup/live_cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>

#include "shim/base/unique_fd.h"
#include "shim/cgroup/control.h"
#include "shim/cgroup/mounts.h"
#include "test/unit/base/eventually.h"

namespace hydra {
namespace {

constexpr std::chrono::seconds kDeadline(10);

// Where the cgroup is, or would be, in each hierarchy.
std::set<std::string> Directories(const std::string& path) {
  std::set<std::string> out;
  absl::StatusOr<std::vector<CgroupMount>> mounts = ReadCgroupMounts({});
  if (!mounts.ok()) return out;
  for (const CgroupMount& mount : *mounts) {
    if (mount.mount_point.rfind(kCgroupRoot, 0) == 0) {
      out.insert(mount.mount_point + path);
    }
  }
  return out;
}

[[noreturn]] void RunChild(pid_t parent, int go, int done,
                           const std::function<void()>& run) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  char byte;
  if (read(go, &byte, 1) != 1) _exit(1);
  run();
  if (write(done, &byte, 1) != 1) _exit(1);
  close(done);
  while (true) pause();
}

}  // namespace

void SkipTest(std::string_view reason) {
  fprintf(stderr, "skipped: %.*s\n", static_cast<int>(reason.size()),
          reason.data());
  exit(77);
}

void NeedCgroups() {
  if (geteuid() != 0) SkipTest("needs root");
  for (const std::string& directory : Directories("")) {
    if (access(directory.c_str(), W_OK) == 0) return;
  }
  SkipTest("needs a cgroup mount that can be written");
}

bool Eventually(const std::function<bool()>& condition) {
  return test::Eventually(condition, kDeadline);
}

LiveCgroup::LiveCgroup() {
  static int count = 0;
  path_ =
      "/hydra-test-" + std::to_string(getpid()) + "-" + std::to_string(++count);
  absl::StatusOr<CgroupMode> mode = DetectCgroupMode();
  if (!mode.ok() || *mode == CgroupMode::kV1) return;
  const std::string directory = std::string(kCgroupRoot) + path_;
  mkdir(directory.c_str(), 0755);
  CgroupPaths paths;
  paths.mode = CgroupMode::kV2;
  paths.directories.emplace(Cgroup::kUnified, directory);
  EnableControllers(*Cgroup::FromPaths(std::move(paths))).IgnoreError();
}

LiveCgroup::~LiveCgroup() { Remove(); }

pid_t LiveCgroup::Spawn(const std::function<void()>& run) {
  int go[2], done[2];
  if (pipe2(go, O_CLOEXEC) != 0) return -1;
  UniqueFd go_read(go[0]), go_write(go[1]);
  if (pipe2(done, O_CLOEXEC) != 0) return -1;
  UniqueFd done_read(done[0]), done_write(done[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return -1;
  if (pid == 0) {
    go_write.Reset();
    RunChild(parent, go_read.get(), done_write.get(), run);
  }
  children_.push_back(pid);
  done_write.Reset();
  if (!AddProcess(path_, pid).ok()) return -1;
  if (write(go_write.get(), "x", 1) != 1) return -1;
  pollfd wait = {.fd = done_read.get(), .events = POLLIN, .revents = 0};
  poll(&wait, 1, 10'000);
  return pid;
}

int LiveCgroup::Reap(pid_t pid) {
  int status = -1;
  if (!Eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; })) {
    return -1;
  }
  std::erase(children_, pid);
  return status;
}

bool LiveCgroup::Remove() {
  for (pid_t pid : children_) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  children_.clear();
  const std::set<std::string> directories = Directories(path_);
  // A cgroup is busy until the kernel has buried its last process.
  return Eventually([&] {
    return std::all_of(directories.begin(), directories.end(),
                       [](const std::string& directory) {
                         return rmdir(directory.c_str()) == 0 ||
                                errno == ENOENT;
                       });
  });
}

bool WriteControl(const std::string& directory, const char* name,
                  std::string_view value) {
  std::ofstream file(directory + "/" + name);
  file << value;
  file.close();
  return file.good();
}

void UseMemory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  for (size_t i = 0; i < bytes; i += 4096) {
    static_cast<volatile char*>(memory)[i] = 1;
  }
}

}  // namespace hydra
