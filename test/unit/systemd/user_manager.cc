#include "test/unit/systemd/user_manager.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>

namespace hydra {
namespace {

namespace fs = std::filesystem;

constexpr char kManager[] = "/lib/systemd/systemd";
constexpr char kBus[] = "/usr/bin/dbus-daemon";
constexpr char kTarget[] = "hydra-test.target";
constexpr std::chrono::seconds kDeadline(10);

// Those in which systemd keeps its processes.
std::vector<std::string> Hierarchies() {
  const std::string root = "/sys/fs/cgroup";
  if (fs::exists(root + "/cgroup.procs")) return {root};
  std::vector<std::string> found;
  for (const char* name : {"/systemd", "/unified"}) {
    if (fs::exists(root + name + "/cgroup.procs")) found.push_back(root + name);
  }
  return found;
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

// A mount namespace in which only `directory` can be written to.
bool Seclude(const std::string& directory) {
  const char* own = directory.c_str();
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount(own, own, nullptr, MS_BIND, nullptr) == 0 &&
         mount("tmpfs", "/run", "tmpfs", 0, nullptr) == 0 &&
         // A user manager wants to see that the machine's init is systemd.
         mkdir("/run/systemd", 0755) == 0 &&
         mkdir("/run/systemd/system", 0755) == 0 &&
         mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY,
               nullptr) == 0;
}

}  // namespace

std::string UserManager::WhyNot() {
  if (geteuid() != 0) return "needs root";
  if (access(kManager, X_OK) != 0) return "systemd is not installed";
  if (access(kBus, X_OK) != 0) return "dbus-daemon is not installed";
  const std::vector<std::string> hierarchies = Hierarchies();
  if (hierarchies.empty()) return "systemd's cgroup hierarchy is not mounted";
  for (const std::string& hierarchy : hierarchies) {
    if (access(hierarchy.c_str(), W_OK) != 0) return "cgroups are read-only";
  }
  return {};
}

UserManager::UserManager() {
  char path[] = "/tmp/hydra-systemd-XXXXXX";
  REQUIRE(mkdtemp(path) != nullptr);
  directory_ = path;
  WriteUnits();
  for (const std::string& hierarchy : Hierarchies()) {
    const std::string cgroup =
        hierarchy + "/hydra-systemd-" + std::to_string(getpid());
    fs::create_directories(cgroup + "/init.scope");
    cgroups_.push_back(cgroup);
  }
  pid_ = fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) Execute();
}

UserManager::~UserManager() {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (!KillAll() && std::chrono::steady_clock::now() < deadline) {
    // Those that are no children of ours make no other sign.
    poll(nullptr, 0, 5);
  }
  waitpid(pid_, nullptr, 0);
  for (const std::string& cgroup : cgroups_) {
    std::vector<std::string> all = {cgroup};
    for (const auto& entry : fs::recursive_directory_iterator(cgroup)) {
      if (entry.is_directory()) all.push_back(entry.path());
    }
    // Deepest last.
    for (auto it = all.rbegin(); it != all.rend(); ++it) rmdir(it->c_str());
    CHECK_FALSE(fs::exists(cgroup));
  }
  fs::remove_all(directory_);
}

void UserManager::WriteUnits() const {
  const std::string units = directory_ + "/units/";
  for (const char* name : {"/units", "/home", "/none"}) {
    fs::create_directory(directory_ + name);
  }
  Write(units + kTarget, "[Unit]\nRequires=dbus.socket dbus.service\n");
  // The manager serves its interface once these units of its own run.
  Write(units + "dbus.socket",
        "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=" + directory_ +
            "/bus\n");
  Write(units + "dbus.service",
        "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n"
        "[Service]\nType=notify\nExecStart=" +
            std::string(kBus) +
            " --session --address=systemd: --nofork --nopidfile"
            " --systemd-activation\n");
}

void UserManager::Execute() const {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const std::string& cgroup : cgroups_) {
    Write(cgroup + "/init.scope/cgroup.procs", "0");
  }
  const std::string log = directory_ + "/log";
  const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  dup2(fd, STDOUT_FILENO);
  dup2(fd, STDERR_FILENO);
  // The manager's own directory, and nothing but it, by every name that a
  // program may look for a place under.
  if (!Seclude(directory_)) _exit(1);
  clearenv();
  setenv("PATH", "/usr/bin:/bin", 1);
  setenv("HOME", (directory_ + "/home").c_str(), 1);
  setenv("TMPDIR", (directory_ + "/home").c_str(), 1);
  setenv("XDG_RUNTIME_DIR", directory_.c_str(), 1);
  setenv("DBUS_SESSION_BUS_ADDRESS", BusAddress().c_str(), 1);
  setenv("SYSTEMD_UNIT_PATH", (directory_ + "/units").c_str(), 1);
  for (const char* name :
       {"SYSTEMD_GENERATOR_PATH", "SYSTEMD_ENVIRONMENT_GENERATOR_PATH"}) {
    setenv(name, (directory_ + "/none").c_str(), 1);
  }
  execl(kManager, kManager, "--user", "--unit=hydra-test.target",
        "--log-target=console", static_cast<char*>(nullptr));
  _exit(127);
}

bool UserManager::KillAll() const {
  bool none = true;
  for (const std::string& cgroup : cgroups_) {
    std::vector<std::string> all = {cgroup};
    std::error_code error;
    for (fs::recursive_directory_iterator it(cgroup, error), end;
         !error && it != end; it.increment(error)) {
      if (it->is_directory(error)) all.push_back(it->path());
    }
    for (const std::string& directory : all) {
      std::ifstream pids(directory + "/cgroup.procs");
      for (pid_t pid; pids >> pid; none = false) kill(pid, SIGKILL);
    }
  }
  return none;
}

}  // namespace hydra
