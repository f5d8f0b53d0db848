// The monitor's log: one logfmt line per event on standard error, in the form
// of shim/base/log.h, which the monitor may not use.
//
// A line that the descriptor does not take at once is dropped: an engine that
// does not read its log must not stop the supervisor of a container. Loop
// thread only.

#ifndef HYDRA_MONITOR_LOG_H_
#define HYDRA_MONITOR_LOG_H_

namespace hydra::monitor {

// Makes standard error non-blocking. `name` stands in every line.
void OpenLog(const char* name);

[[gnu::format(printf, 1, 2)]] void LogInfo(const char* format, ...);
[[gnu::format(printf, 1, 2)]] void LogWarning(const char* format, ...);
[[gnu::format(printf, 1, 2)]] void LogError(const char* format, ...);

// strerror(3) without its locale, for the lines above: "ENOSPC".
const char* ErrorName(int error);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_LOG_H_
