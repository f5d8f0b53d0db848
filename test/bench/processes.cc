#include "test/bench/processes.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <string_view>

namespace hydra::bench {
namespace {

// The names of `directory` that are numbers.
std::vector<std::string> Numbers(const std::string& directory) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()),
                                                    closedir);
  while (const dirent* entry = entries ? readdir(entries.get()) : nullptr) {
    if (isdigit(static_cast<unsigned char>(entry->d_name[0])) != 0) {
      names.emplace_back(entry->d_name);
    }
  }
  return names;
}

// The file name of a process's program, though it may have been replaced.
std::string ProgramOf(const std::string& directory) {
  constexpr std::string_view kDeleted = " (deleted)";
  std::array<char, 4096> target{};
  const ssize_t length =
      readlink((directory + "/exe").c_str(), target.data(), target.size() - 1);
  if (length <= 0) return {};
  std::string path(target.data(), static_cast<size_t>(length));
  if (path.size() > kDeleted.size() &&
      path.compare(path.size() - kDeleted.size(), kDeleted.size(), kDeleted) ==
          0) {
    path.resize(path.size() - kDeleted.size());
  }
  return path.substr(path.rfind('/') + 1);
}

// proc(5): cutime and cstime, of children that have been waited for.
double ChildrenMilliseconds(const std::string& directory) {
  std::ifstream file(directory + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const size_t after_name = text.rfind(')');
  if (after_name == std::string::npos) return 0;
  // The state, ..., utime and stime.
  constexpr int kFieldsBefore = 13;
  std::istringstream fields(text.substr(after_name + 1));
  std::string field;
  for (int i = 0; i < kFieldsBefore; ++i) fields >> field;
  long long user = 0;
  long long system = 0;
  fields >> user >> system;
  return static_cast<double>(user + system) * 1e3 /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

double OwnMilliseconds(const std::string& directory) {
  double nanoseconds = 0;
  for (const std::string& thread : Numbers(directory + "/task")) {
    std::ifstream file(directory + "/task/" + thread + "/schedstat");
    double value = 0;
    if (file >> value) nanoseconds += value;
  }
  return nanoseconds / 1e6;
}

}  // namespace

long long Kilobytes(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  long long value = 0;
  while (file >> word) {
    if (word == key && file >> value) return value;
  }
  return 0;
}

std::vector<pid_t> FindProcesses(const std::vector<std::string>& programs) {
  std::vector<pid_t> pids;
  for (const std::string& pid : Numbers("/proc")) {
    if (std::find(programs.begin(), programs.end(),
                  ProgramOf("/proc/" + pid)) != programs.end()) {
      pids.push_back(std::stoi(pid));
    }
  }
  return pids;
}

Usage MeasureUsage(const Subject& subject) {
  Usage usage;
  for (const pid_t pid : FindProcesses(subject.executables)) {
    const std::string rollup = "/proc/" + std::to_string(pid) + "/smaps_rollup";
    ++usage.processes;
    usage.pss_kb += static_cast<double>(Kilobytes(rollup, "Pss:"));
    usage.rss_kb += static_cast<double>(Kilobytes(rollup, "Rss:"));
  }
  return usage;
}

double CpuMilliseconds(const Subject& subject) {
  double total = 0;
  for (const pid_t pid : FindProcesses(subject.executables)) {
    const std::string directory = "/proc/" + std::to_string(pid);
    total += OwnMilliseconds(directory) + ChildrenMilliseconds(directory);
  }
  return total;
}

}  // namespace hydra::bench
