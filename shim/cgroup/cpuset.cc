#include "shim/cgroup/cpuset.h"

#include <string_view>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"

namespace hydra {

absl::Status InheritCpuset(const std::string& parent,
                           const std::string& directory) {
  KernelFileReader reader;
  for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
    HYDRA_ASSIGN_OR_RETURN(std::string_view own, reader.Read(directory + name));
    if (!own.empty() && own != "\n") continue;
    HYDRA_ASSIGN_OR_RETURN(std::string_view inherited,
                           reader.Read(parent + name));
    HYDRA_RETURN_IF_ERROR(WriteKernelFile(directory + name, inherited));
  }
  return absl::OkStatus();
}

}  // namespace hydra
