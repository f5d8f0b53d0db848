#include "test/unit/start/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "shim/cgroup/beside.h"

namespace hydra::test {
namespace {

constexpr char kShim[] = HYDRA_TEST_PROGRAMS "/containerd-shim-hydra-v1";
// No verb takes so long.
constexpr int kTimeoutMs = 20'000;

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  for (;;) {
    pollfd entry = {fd, POLLIN, 0};
    // Like an engine, this waits for the end of file: whoever keeps the
    // descriptor open hangs it.
    if (poll(&entry, 1, kTimeoutMs) <= 0) {
      FAIL("the shim's output stays open");
    }
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

std::string ReadFileAt(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Sandbox::Sandbox() {
  char path[] = "/tmp/hydra-start-XXXXXX";
  REQUIRE(mkdtemp(path) != nullptr);
  root_ = path;
  std::filesystem::create_directories(bundle() + "/rootfs");
  std::filesystem::create_directory(root_ + "/run");
  Write("config.json", "{}");
  environment["HYDRA_RUN_DIR"] = root_ + "/run";
  environment["FAKE_MONITOR_REPORT"] = root_ + "/report";
}

Sandbox::~Sandbox() {
  const pid_t pid = MonitorPid();
  if (pid > 0) kill(pid, SIGKILL);
  CHECK_FALSE(IsRunning(pid, 2000));
  // Where a real monitor would have removed itself.
  const auto beside = FindBeside();
  if (beside.ok()) RemoveBeside(*beside);
  std::filesystem::remove_all(root_);
}

InstancePaths Sandbox::paths() const {
  return PathsOf(root_ + "/run", {kAddress, kNamespace, kId}).value();
}

Outcome Sandbox::Run(const std::vector<std::string>& arguments,
                     const std::string& input) const {
  std::vector<std::string> all = {"-namespace",      kNamespace,  "-address",
                                  kAddress,          "-id",       kId,
                                  "-publish-binary", "/bin/false"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return RunBare(all, input);
}

Outcome Sandbox::RunBare(const std::vector<std::string>& arguments,
                         const std::string& input) const {
  int in[2], out[2], err[2];
  REQUIRE(pipe2(in, O_CLOEXEC) == 0);
  REQUIRE(pipe2(out, O_CLOEXEC) == 0);
  REQUIRE(pipe2(err, O_CLOEXEC) == 0);
  if (!reads_output) close(out[0]);
  const pid_t pid = fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    // An engine leaks nothing, but who knows: must not reach the monitor.
    dup2(out[1], 20);
    if (chdir(bundle().c_str()) != 0) _exit(126);
    for (const auto& [name, value] : environment) {
      setenv(name.c_str(), value.c_str(), 1);
    }
    std::vector<char*> argv = {const_cast<char*>(kShim)};
    for (const std::string& argument : arguments) {
      argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    execv(kShim, argv.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  // Less than a pipe holds.
  REQUIRE(input.size() < 65536);
  REQUIRE(write(in[1], input.data(), input.size()) ==
          static_cast<ssize_t>(input.size()));
  close(in[1]);
  Outcome outcome;
  if (reads_output) outcome.output = ReadAll(out[0]);
  outcome.errors = ReadAll(err[0]);
  if (reads_output) close(out[0]);
  close(err[0]);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  outcome.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

void Sandbox::Write(const std::string& name, const std::string& text) const {
  std::ofstream(bundle() + "/" + name) << text;
}

std::string Sandbox::Read(const std::string& name) const {
  return ReadFileAt(bundle() + "/" + name);
}

std::vector<std::string> Sandbox::Report() const {
  return LinesOf(root_ + "/report");
}

pid_t Sandbox::MonitorPid() const {
  return atoi(ReadFileAt(paths().monitor_pid).c_str());
}

bool Sandbox::IsClean() const {
  return std::filesystem::is_empty(root_ + "/run");
}

bool IsRunning(pid_t pid, int timeout_ms) {
  if (pid <= 0) return false;
  for (int waited = 0;; waited += 5) {
    const std::string stat =
        ReadFileAt("/proc/" + std::to_string(pid) + "/stat");
    const size_t name_end = stat.rfind(") ");
    if (name_end == std::string::npos || stat[name_end + 2] == 'Z') {
      return false;
    }
    if (waited >= timeout_ms) return true;
    poll(nullptr, 0, 5);
  }
}

bool Contains(const std::vector<std::string>& lines, const std::string& line) {
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

std::vector<std::string> LinesOf(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

}  // namespace hydra::test
