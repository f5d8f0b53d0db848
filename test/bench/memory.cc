#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "shim/base/status.h"
#include "test/bench/cases.h"
#include "test/bench/engine.h"

namespace hydra::bench {
namespace {

// Enough for a container with the dearest shim that is known.
constexpr long long kKilobytesPerContainer = 16 << 10;

struct Usage {
  int processes = 0;
  // Proportional set size: what is shared is divided among those who share.
  double pss_kb = 0;
  double rss_kb = 0;
};

// The value of "`key`   N kB" in a file like /proc/meminfo; 0 if not there.
long long Kilobytes(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string word;
  long long value = 0;
  while (file >> word) {
    if (word == key && file >> value) return value;
  }
  return 0;
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

// Everything of the subject's in this pid namespace, which is ours alone.
Usage Measure(const Subject& subject) {
  Usage usage;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(opendir("/proc"), closedir);
  while (const dirent* entry = proc ? readdir(proc.get()) : nullptr) {
    if (isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    const std::string directory = std::string("/proc/") + entry->d_name;
    const std::string program = ProgramOf(directory);
    if (std::find(subject.executables.begin(), subject.executables.end(),
                  program) == subject.executables.end()) {
      continue;
    }
    const std::string rollup = directory + "/smaps_rollup";
    ++usage.processes;
    usage.pss_kb += static_cast<double>(Kilobytes(rollup, "Pss:"));
    usage.rss_kb += static_cast<double>(Kilobytes(rollup, "Rss:"));
  }
  return usage;
}

std::string Number(int number) { return std::to_string(number); }

}  // namespace

absl::StatusOr<std::vector<Case>> MeasureMemory(const Setup& setup,
                                                const Sizes& sizes,
                                                const Notice& notice) {
  std::vector<Case> cases;
  std::vector<int> steps;
  for (const int count : sizes.containers) {
    if (Kilobytes("/proc/meminfo", "MemAvailable:") <
        count * kKilobytesPerContainer) {
      notice("memory at " + Number(count) + " containers: left out, there is " +
             "too little of it here");
      continue;
    }
    steps.push_back(count);
    const std::string at = " per container, at " + Number(count);
    const std::string id = "_" + Number(count);
    cases.push_back({"pss" + id, "PSS" + at, "kB", false, {}});
    cases.push_back({"rss" + id, "RSS" + at, "kB", false, {}});
    cases.push_back({"processes" + id, "processes" + at, "", false, {}});
  }
  for (const Subject& subject : setup.subjects) {
    Engine engine(setup);
    std::vector<std::string> ids;
    for (size_t step = 0; step < steps.size(); ++step) {
      const auto count = static_cast<size_t>(steps[step]);
      notice(subject.name + ": " + Number(steps[step]) + " containers");
      while (ids.size() < count) {
        ids.push_back(engine.NewId());
        HYDRA_RETURN_IF_ERROR(engine.RunDetached(subject, ids.back()).status());
      }
      // Not for something to happen, but for nothing to happen any more.
      std::this_thread::sleep_for(std::chrono::seconds(sizes.settle_seconds));
      const Usage usage = Measure(subject);
      if (usage.processes < steps[step]) {
        return Internal(subject.name + ": " + Number(usage.processes) +
                        " processes for " + Number(steps[step]) +
                        " containers");
      }
      const auto add = [&](size_t index, double total) {
        Series series{subject.name, {}};
        series.samples.Add(total / static_cast<double>(count));
        cases[3 * step + index].series.push_back(std::move(series));
      };
      add(0, usage.pss_kb);
      add(1, usage.rss_kb);
      add(2, usage.processes);
    }
    HYDRA_RETURN_IF_ERROR(engine.Remove(ids));
  }
  return cases;
}

}  // namespace hydra::bench
