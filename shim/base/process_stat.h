// What the kernel says of a process: /proc/PID/stat, proc(5).
//
// Any thread.

#ifndef HYDRA_BASE_PROCESS_STAT_H_
#define HYDRA_BASE_PROCESS_STAT_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace hydra {

// The fields from the third on: field N of proc(5) is at N - 3. Empty: there is
// no such process.
std::vector<std::string> ReadProcessStat(pid_t pid);

}  // namespace hydra

#endif  // HYDRA_BASE_PROCESS_STAT_H_
