// The two clocks of the monitor, in nanoseconds.

#ifndef HYDRA_MONITOR_CLOCK_H_
#define HYDRA_MONITOR_CLOCK_H_

#include <time.h>

#include <cstdint>

namespace hydra::monitor {

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kSecond = 1000 * kMillisecond;
// Later than any deadline.
inline constexpr int64_t kNever = INT64_MAX;

inline int64_t ReadClock(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

// For deadlines.
inline int64_t MonotonicNow() { return ReadClock(CLOCK_MONOTONIC); }
// Unix time, for what is told to others.
inline int64_t UnixNow() { return ReadClock(CLOCK_REALTIME); }

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_CLOCK_H_
