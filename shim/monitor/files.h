// Directories for what the monitor keeps on disk. Loop thread only.

#ifndef HYDRA_MONITOR_FILES_H_
#define HYDRA_MONITOR_FILES_H_

#include <string>

namespace hydra::monitor {

// Makes an absolute path a directory: 0700, its parents 0755. What is there
// stays as it is; whether it worked is seen when it is used.
void MakeDirectories(const std::string& path);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_FILES_H_
