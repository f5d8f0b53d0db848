#include "shim/task/pid_namespace.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "shim/base/numbers.h"

namespace hydra {
namespace {

namespace fs = std::filesystem;

// "pid:[4026531836]"; empty if it cannot be seen.
std::string NamespaceOf(const fs::path& process) {
  std::error_code error;
  return fs::read_symlink(process / "ns" / "pid", error).string();
}

}  // namespace

std::vector<int> ProcessesInNamespaceOf(pid_t init) {
  std::vector<int> pids;
  const std::string wanted = NamespaceOf("/proc/" + std::to_string(init));
  if (wanted.empty()) return pids;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end;
       it.increment(error)) {
    const auto pid = ParseDecimal(it->path().filename().string());
    if (pid.has_value() && NamespaceOf(it->path()) == wanted) {
      pids.push_back(static_cast<int>(*pid));
    }
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace hydra
