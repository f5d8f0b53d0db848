#include "shim/base/crash_point.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <mutex>

#include "shim/base/file.h"
#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

std::atomic<bool> enabled = false;

// O_APPEND and one write: whole lines, whoever else writes.
void Record(const std::string& path, const std::string& name) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd.valid()) return;
  const std::string line = absl::StrCat(getpid(), " ", name, "\n");
  if (write(fd.get(), line.data(), line.size()) < 0) abort();
}

}  // namespace

void EnableCrashPoints() { enabled = true; }

void PassCrashPoint(const std::string& name) {
  const char* directory = getenv("HYDRA_CRASH_DIRECTORY");
  if (!enabled || directory == nullptr) return;
  static std::mutex mutex;
  static auto* const passed = new std::map<std::string, int>();
  const std::lock_guard<std::mutex> lock(mutex);
  const int occurrence = ++(*passed)[name];
  const std::string base = std::string(directory) + "/";
  Record(base + "record", name);
  const auto armed = ReadFile(base + "arm", 4096);
  if (!armed.ok() || *armed != absl::StrCat(name, " ", occurrence, "\n")) {
    return;
  }
  if (rename((base + "next").c_str(), (base + "arm").c_str()) != 0) {
    unlink((base + "arm").c_str());
  }
  const bool stop = access((base + "stop").c_str(), F_OK) == 0;
  kill(getpid(), stop ? SIGSTOP : SIGKILL);
}

}  // namespace hydra
