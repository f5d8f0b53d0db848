#include "test/chaos/head_killer.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <random>
#include <utility>
#include <vector>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

// TASK_COMM_LEN cuts the name.
constexpr std::string_view kComm = "containerd-shim\n";

bool IsHead(pid_t pid, const std::string& mark) {
  const std::string directory = "/proc/" + std::to_string(pid);
  if (ReadFile(directory + "/comm").value_or("") != kComm) return false;
  const std::string command = ReadFile(directory + "/cmdline").value_or("");
  constexpr std::string_view kLast("\0serve\0", 7);
  return command.size() > kLast.size() &&
         command.compare(command.size() - kLast.size(), kLast.size(), kLast) ==
             0 &&
         command.find(mark) != std::string::npos;
}

std::vector<pid_t> FindHeads(const std::string& mark) {
  std::vector<pid_t> heads;
  DIR* directory = opendir("/proc");
  while (const dirent* entry = readdir(directory)) {
    const pid_t pid = atoi(entry->d_name);
    if (pid > 0 && IsHead(pid, mark)) heads.push_back(pid);
  }
  closedir(directory);
  return heads;
}

bool KillHead(pid_t pid, const std::string& mark) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  // It is looked at again: by now the pid may be another's.
  return pidfd.valid() && IsHead(pid, mark) &&
         syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) == 0;
}

}  // namespace

HeadKiller::HeadKiller(std::string mark, uint64_t seed, Milliseconds interval)
    : mark_(std::move(mark)),
      interval_(interval),
      thread_([this, seed] { Run(seed); }) {}

HeadKiller::~HeadKiller() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

void HeadKiller::Run(uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto range = static_cast<uint64_t>(2 * interval_.count());
  while (true) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const Milliseconds pause(random() % (range + 1));
      if (stopped_.wait_for(lock, pause, [this] { return stop_; })) return;
    }
    const std::vector<pid_t> heads = FindHeads(mark_);
    if (heads.empty()) continue;
    if (KillHead(heads[random() % heads.size()], mark_)) ++kills_;
  }
}

}  // namespace hydra::testing
