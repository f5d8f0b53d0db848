// Runs a program and says how long that took.
//
// One thread; the calling process must not reap children of its own elsewhere.

#ifndef HYDRA_TEST_BENCH_COMMAND_H_
#define HYDRA_TEST_BENCH_COMMAND_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra::bench {

// Nanoseconds of CLOCK_MONOTONIC.
long long Now();

struct CommandOptions {
  // Working directory; the caller's if empty.
  std::string directory;
  // "NAME=value", in addition to the caller's environment.
  std::vector<std::string> environment;
  // Does not read the output but leaves it in /dev/null: for programs whose
  // children keep it open.
  bool discard_output = false;
};

struct CommandResult {
  std::string output;
  // From before the fork to the exit having been seen.
  long long nanoseconds = 0;
};

// Runs argv[0], found in $PATH, to its end, with no standard input.
//
// Errors: DeadlineExceeded after 60 s (the program has been killed), Unknown
// with what it said for an exit status other than 0.
absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const CommandOptions& options = {});

// Starts argv[0] with `output` and `error` as its standard output and error; -1
// is /dev/null. The caller waits for it with WaitCommand.
absl::StatusOr<pid_t> SpawnCommand(const std::vector<std::string>& argv,
                                   int output, int error = -1,
                                   const CommandOptions& options = {});

// Waits for `pid`, at most 60 s, then kills it. An exit status other than 0 is
// Unknown.
absl::Status WaitCommand(pid_t pid);

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_COMMAND_H_
