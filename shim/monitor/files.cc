#include "shim/monitor/files.h"

#include <sys/stat.h>

namespace hydra::monitor {

void MakeDirectories(const std::string& path) {
  for (size_t i = path.find('/', 1); i != std::string::npos;
       i = path.find('/', i + 1)) {
    mkdir(path.substr(0, i).c_str(), 0755);
  }
  mkdir(path.c_str(), 0700);
}

}  // namespace hydra::monitor
