// A subject's processes, in this pid namespace, which is the benchmark's alone.
//
// Any thread.

#ifndef HYDRA_TEST_BENCH_PROCESSES_H_
#define HYDRA_TEST_BENCH_PROCESSES_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "test/bench/setup.h"

namespace hydra::bench {

// The value of "`key`   N kB" in a file like /proc/meminfo; 0 if not there.
long long Kilobytes(const std::string& path, const std::string& key);

// Those that run one of `programs`, which are file names; the file may have
// been replaced since.
std::vector<pid_t> FindProcesses(const std::vector<std::string>& programs);

struct Usage {
  int processes = 0;
  // Proportional set size: what is shared is divided among those who share.
  double pss_kb = 0;
  double rss_kb = 0;
};

// Of everything that runs for the subject's containers and is not a container.
Usage MeasureUsage(const Subject& subject);

// Processor time that all of these have taken, and their children that have
// ended; to the nanosecond for those that are there, to a hundredth of a second
// for the children of each.
double CpuMilliseconds(const Subject& subject);

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_PROCESSES_H_
