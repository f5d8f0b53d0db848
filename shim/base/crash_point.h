// Crash points: named places where a test may kill this process, to see that
// its successor goes on from there.
//
// A point stands before and after every step by which the head changes the
// world. HYDRA_CRASH_POINT is nothing at all, arguments included, unless
// HYDRA_CRASH_POINTS is defined: only the binary that test/integration/crash
// builds for itself has it.
//
// There, $HYDRA_CRASH_DIRECTORY names a directory with what to do; without it,
// or without these files, a point does nothing:
//   record  Each point passed is appended to it, as "PID NAME\n".
//   arm     "NAME OCCURRENCE\n": the process is killed with SIGKILL when it
//           passes the point for the OCCURRENCE-th time, counted from 1 and
//           for each process anew. Consumed by the death: then `next` takes
//           its place, if there is one.
//   stop    If it is there: the process is not killed but stopped, for a test
//           that has something to do before it kills.
//
// Any thread.

#ifndef HYDRA_BASE_CRASH_POINT_H_
#define HYDRA_BASE_CRASH_POINT_H_

#ifdef HYDRA_CRASH_POINTS

#include <string>

#include "absl/strings/str_cat.h"

namespace hydra {

// Makes the points of this process live; until then they do nothing.
void EnableCrashPoints();
void PassCrashPoint(const std::string& name);

}  // namespace hydra

#define HYDRA_ENABLE_CRASH_POINTS() ::hydra::EnableCrashPoints()
// HYDRA_CRASH_POINT("area.step", more...): the name is all of it, joined.
#define HYDRA_CRASH_POINT(...) \
  ::hydra::PassCrashPoint(::absl::StrCat(__VA_ARGS__))

#else

#define HYDRA_ENABLE_CRASH_POINTS() static_cast<void>(0)
#define HYDRA_CRASH_POINT(...) static_cast<void>(0)

#endif  // HYDRA_CRASH_POINTS

#endif  // HYDRA_BASE_CRASH_POINT_H_
