#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "shim/base/file.h"
#include "shim/base/process_stat.h"
#include "shim/base/status.h"
#include "shim/state/record.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMaxFileSize = 4096;

// What is taken from /proc/<pid>/stat.
struct Stat {
  char state = '\0';
  pid_t parent = 0;
  uint64_t start_time = 0;  // Clock ticks since boot.
};

template <typename T>
bool ParseNumber(std::string_view text, T* out) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// Takes the text before the next space, and the space, away from `text`.
std::string_view TakeWord(std::string_view* text) {
  const size_t space = text->find(' ');
  const std::string_view word = text->substr(0, space);
  text->remove_prefix(space == std::string_view::npos ? text->size()
                                                      : space + 1);
  return word;
}

std::optional<Stat> ReadStat(pid_t pid) {
  const std::vector<std::string> fields = ReadProcessStat(pid);
  constexpr size_t kStartTime = 22 - 3;
  if (fields.size() <= kStartTime || fields[0].size() != 1) {
    return std::nullopt;
  }
  Stat stat;
  stat.state = fields[0][0];
  if (!ParseNumber(fields[1], &stat.parent) ||
      !ParseNumber(fields[kStartTime], &stat.start_time)) {
    return std::nullopt;
  }
  return stat;
}

// syscall(2): Debian 12's libc has no wrapper for all of them.
UniqueFd OpenPidfd(pid_t pid) {
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}
void SendSignal(const UniqueFd& pidfd, int signal) {
  // ESRCH is what the caller wants.
  (void)syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

// A zombie counts as ended (pidfd_open(2), "poll").
bool WaitUntil(const UniqueFd& pidfd, steady_clock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    pollfd entry = {pidfd.get(), POLLIN, 0};
    const int n =
        poll(&entry, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

// SIGSTOP takes effect when the process next returns from the kernel.
void WaitUntilStopped(pid_t pid) {
  for (int i = 0; i < 50; ++i) {
    const std::optional<Stat> stat = ReadStat(pid);
    if (!stat || stat->state == 'T' || stat->state == 'Z') return;
    poll(nullptr, 0, 1);
  }
}

// The children of a process that is stopped. Scans /proc: the file "children"
// is a kernel option.
std::vector<UniqueFd> OpenChildren(pid_t parent) {
  std::vector<UniqueFd> children;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc"),
                                                      closedir);
  if (directory == nullptr) return children;
  while (const dirent* entry = readdir(directory.get())) {
    pid_t pid = 0;
    if (!ParseNumber(std::string_view(entry->d_name), &pid)) continue;
    const auto is_child = [&] {
      const std::optional<Stat> stat = ReadStat(pid);
      return stat && stat->parent == parent;
    };
    if (!is_child()) continue;
    // Again, because the pid may have changed hands before it was opened.
    UniqueFd pidfd = OpenPidfd(pid);
    if (pidfd.valid() && is_child()) {
      children.push_back(std::move(pidfd));
    }
  }
  return children;
}

}  // namespace

absl::Status MonitorRef::Save(const std::string& path, pid_t pid) {
  const std::optional<Stat> stat = ReadStat(pid);
  if (!stat) return NotFound("read /proc/" + std::to_string(pid) + "/stat");
  return ReplaceFile(path,
                     std::to_string(pid) + " " +
                         std::to_string(stat->start_time) + " " + BootId() +
                         "\n",
                     0600);
}

absl::StatusOr<MonitorRef> MonitorRef::Open(const std::string& path) {
  HYDRA_ASSIGN_OR_RETURN(const std::string content,
                         ReadFile(path, kMaxFileSize));
  std::string_view text = content;
  if (text.empty() || text.back() != '\n') {
    return DataLoss("parse " + path + ": not a monitor's pid file");
  }
  text.remove_suffix(1);
  pid_t pid = 0;
  uint64_t start_time = 0;
  if (!ParseNumber(TakeWord(&text), &pid) || pid <= 1 ||
      !ParseNumber(TakeWord(&text), &start_time)) {
    return DataLoss("parse " + path + ": not a monitor's pid file");
  }
  const std::string gone = "monitor " + std::to_string(pid) + ": has ended";
  if (text != BootId()) return NotFound(gone);
  UniqueFd pidfd = OpenPidfd(pid);
  if (!pidfd.valid()) return ErrnoError(errno, "open pidfd of monitor");
  const std::optional<Stat> stat = ReadStat(pid);
  if (!stat || stat->start_time != start_time || stat->state == 'Z') {
    return NotFound(gone);
  }
  return MonitorRef(pid, std::move(pidfd));
}

bool MonitorRef::WaitForEnd(milliseconds timeout) const {
  return WaitUntil(pidfd_, steady_clock::now() + timeout);
}

absl::Status MonitorRef::KillWithChildren(milliseconds timeout) const {
  const auto deadline = steady_clock::now() + timeout;
  SendSignal(pidfd_, SIGSTOP);
  WaitUntilStopped(pid_);
  const std::vector<UniqueFd> children = OpenChildren(pid_);
  SendSignal(pidfd_, SIGKILL);
  for (const UniqueFd& child : children) SendSignal(child, SIGKILL);
  bool all = WaitUntil(pidfd_, deadline);
  for (const UniqueFd& child : children) {
    if (!WaitUntil(child, deadline)) all = false;
  }
  if (all) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDeadlineExceeded,
                   "kill monitor " + std::to_string(pid_) +
                       ": it or a child of it has not ended");
}

}  // namespace hydra
