#include "test/integration/harness/leftovers.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <charconv>
#include <filesystem>
#include <optional>
#include <utility>

#include "test/integration/harness/files.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "hydra-it";
constexpr std::array<const char*, 3> kSharedDirectories = {
    "/run/hydra", "/var/lib/hydra", "/run/containerd/runc"};

bool Contains(const std::string& text, const std::string& mark) {
  return text.find(mark) != std::string::npos;
}

// Entries of a directory; none if it cannot be read or is gone by then.
std::vector<fs::path> Entries(const fs::path& directory) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    entries.push_back(it->path());
  }
  return entries;
}

std::vector<pid_t> AllPids() {
  std::vector<pid_t> pids;
  for (const fs::path& entry : Entries("/proc")) {
    const std::string name = entry.filename();
    pid_t pid = 0;
    const auto parsed =
        std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec == std::errc() && *parsed.ptr == '\0') pids.push_back(pid);
  }
  return pids;
}

std::optional<ProcessInfo> Inspect(pid_t pid, const std::string& mark) {
  const std::string proc = "/proc/" + std::to_string(pid);
  std::string arguments = ReadFile(proc + "/cmdline").value_or("");
  std::error_code error;
  const std::string cwd = fs::read_symlink(proc + "/cwd", error);
  if (!Contains(arguments, mark) && !Contains(cwd, mark) &&
      !Contains(ReadFile(proc + "/environ").value_or(""), mark) &&
      !Contains(ReadFile(proc + "/cgroup").value_or(""), mark)) {
    return std::nullopt;
  }
  const std::string stat = ReadFile(proc + "/stat").value_or("");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  ProcessInfo info;
  info.pid = pid;
  const std::vector<std::string> fields = Words(stat.substr(name_end + 1));
  if (fields.size() > 1) info.parent = std::stoi(fields[1]);
  std::replace(arguments.begin(), arguments.end(), '\0', ' ');
  info.command =
      arguments.empty()
          ? '[' +
                stat.substr(stat.find('(') + 1, name_end - stat.find('(') - 1) +
                ']'
          : arguments;
  return info;
}

// Mount points that mention `mark`, deepest first.
std::vector<std::string> MountsOf(const std::string& mark) {
  std::vector<std::string> points;
  for (const std::string& line :
       Lines(ReadFile("/proc/self/mountinfo").value_or(""))) {
    const std::vector<std::string> fields = Words(line);
    if (fields.size() > 4 && Contains(fields[4], mark)) {
      points.push_back(fields[4]);
    }
  }
  std::reverse(points.begin(), points.end());
  return points;
}

// Directories below `root`, deepest first, whose path mentions `mark`.
// `depth` bounds the search for the first directory that does.
void FindMarked(const fs::path& root, const std::string& mark, int depth,
                std::vector<fs::path>* found) {
  for (const fs::path& entry : Entries(root)) {
    std::error_code error;
    const bool is_directory =
        fs::symlink_status(entry, error).type() == fs::file_type::directory;
    const bool marked = Contains(entry, mark);
    if (is_directory && (marked || depth > 0)) {
      FindMarked(entry, mark, depth - 1, found);
    }
    if (marked) found->push_back(entry);
  }
}

std::vector<fs::path> CgroupsOf(const std::string& mark) {
  std::vector<fs::path> entries, groups;
  for (const fs::path& hierarchy : Entries("/sys/fs/cgroup")) {
    FindMarked(hierarchy, mark, 3, &entries);
  }
  for (const fs::path& entry : entries) {
    std::error_code error;
    if (fs::is_directory(entry, error)) groups.push_back(entry);
  }
  return groups;
}

void KillAll(const std::string& mark) {
  Eventually(
      [&] {
        const std::vector<ProcessInfo> processes = ProcessesOf(mark);
        for (const ProcessInfo& process : processes) {
          kill(process.pid, SIGKILL);
        }
        return processes.empty();
      },
      Milliseconds(10'000));
}

// A suite that was killed could not clean up; the next one does, once.
void SweepAbandoned() {
  static bool swept = false;
  if (std::exchange(swept, true)) return;
  std::error_code error;
  for (const fs::path& entry : fs::directory_iterator("/tmp", error)) {
    const std::string name = entry.filename();
    if (name.rfind(kPrefix, 0) != 0) continue;
    const std::string owner = ReadFile(entry / "owner").value_or("");
    if (owner.empty() || kill(std::stoi(owner), 0) == 0) continue;
    RemoveLeftovers(name, entry);
  }
}

}  // namespace

std::string MakeMarkedDirectory() {
  SweepAbandoned();
  std::string directory = std::string("/tmp/") + kPrefix + "XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) FAIL("mkdtemp " << directory);
  WriteFile(directory + "/owner", std::to_string(getpid()));
  return directory;
}

pid_t ParentOf(pid_t pid) {
  const std::string stat =
      ReadFile("/proc/" + std::to_string(pid) + "/stat").value_or("");
  const std::vector<std::string> fields =
      Words(stat.substr(stat.rfind(')') + 1));
  return fields.size() > 1 ? std::stoi(fields[1]) : 0;
}

std::vector<ProcessInfo> ProcessesOf(const std::string& mark) {
  std::vector<ProcessInfo> processes;
  for (const pid_t pid : AllPids()) {
    if (pid == getpid()) continue;
    if (auto info = Inspect(pid, mark)) processes.push_back(*info);
  }
  return processes;
}

std::vector<std::string> FindLeftovers(
    const std::string& mark, const std::set<pid_t>& expected,
    const std::vector<std::string>& runtime_directories) {
  std::vector<std::string> found;
  for (const ProcessInfo& process : ProcessesOf(mark)) {
    if (expected.count(process.pid) == 0) {
      found.push_back("process " + std::to_string(process.pid) + ": " +
                      process.command);
    }
  }
  for (const std::string& point : MountsOf(mark)) {
    found.push_back("mount " + point);
  }
  for (const fs::path& group : CgroupsOf(mark)) {
    if (group.filename() != mark) found.push_back("cgroup " + group.string());
  }
  std::vector<fs::path> files;
  for (const char* directory : kSharedDirectories) {
    FindMarked(directory, mark, 3, &files);
  }
  for (const std::string& directory : runtime_directories) {
    for (const fs::path& entry : Entries(directory)) files.push_back(entry);
  }
  for (const fs::path& file : files) {
    std::error_code error;
    if (file.filename() == mark && fs::is_empty(file, error)) continue;
    found.push_back("file " + file.string());
  }
  return found;
}

void RemoveLeftovers(const std::string& mark, const std::string& directory) {
  KillAll(mark);
  for (const std::string& point : MountsOf(mark)) {
    umount2(point.c_str(), MNT_DETACH);
  }
  Eventually(
      [&] {
        // The kernel takes a moment to let go of a killed process's cgroup.
        const std::vector<fs::path> groups = CgroupsOf(mark);
        for (const fs::path& group : groups) rmdir(group.c_str());
        return groups.empty();
      },
      Milliseconds(5'000));
  for (const char* shared : kSharedDirectories) {
    std::vector<fs::path> files;
    FindMarked(shared, mark, 3, &files);
    for (const fs::path& file : files) {
      std::error_code error;
      fs::remove_all(file, error);
      // Hydra's directory of one engine, if that was its last namespace.
      if (fs::path(shared).filename() == "hydra") {
        rmdir(file.parent_path().c_str());
      }
    }
  }
  std::error_code error;
  if (!directory.empty()) fs::remove_all(directory, error);
}

}  // namespace hydra::testing
