// The log: one logfmt line per event on a descriptor that never blocks us.
//
// Libraries (base, os, runtime, state) log nothing above debug; a failure is
// logged once, where it stops being passed on. A line that the descriptor
// does not take at once is dropped and counted, and the count is reported
// with the next line that fits: a reader that hangs must not hang us.
//
// Any thread.

#ifndef HYDRA_BASE_LOG_H_
#define HYDRA_BASE_LOG_H_

#include <string_view>

#include "absl/strings/str_cat.h"

namespace hydra {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Lines go to `fd`, which stays the caller's and is made non-blocking; lines
// below `level` are dropped. Without a call: standard error, kInfo.
void SetLogSink(int fd, LogLevel level);
LogLevel log_level();

// Fields that stand in every line, for example `id=abc namespace=default`.
void SetLogContext(std::string_view fields);

void Log(LogLevel level, std::string_view message);

// LogError("unmount ", path, ", ignoring: ", status.message());
template <typename... Args>
void LogDebug(const Args&... args) {
  if (log_level() <= LogLevel::kDebug) {
    Log(LogLevel::kDebug, absl::StrCat(args...));
  }
}
template <typename... Args>
void LogInfo(const Args&... args) {
  Log(LogLevel::kInfo, absl::StrCat(args...));
}
template <typename... Args>
void LogWarning(const Args&... args) {
  Log(LogLevel::kWarning, absl::StrCat(args...));
}
template <typename... Args>
void LogError(const Args&... args) {
  Log(LogLevel::kError, absl::StrCat(args...));
}

}  // namespace hydra

#endif  // HYDRA_BASE_LOG_H_
