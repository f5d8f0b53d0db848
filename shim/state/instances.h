// The instances of this machine, found on disk: no engine is asked.
//
// Any thread.

#ifndef HYDRA_STATE_INSTANCES_H_
#define HYDRA_STATE_INSTANCES_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hydra {

struct FoundInstance {
  std::string engine;  // The name of its directory: EngineName().
  std::string container_namespace;
  std::string id;
  std::string socket;
};

// All that have a directory, in the order of namespace, id and engine; what
// comes or goes meanwhile may be missing or gone. An instance whose monitor has
// died is among them. No run directory: none. An errno's status, naming the
// directory, if one cannot be read.
absl::StatusOr<std::vector<FoundInstance>> FindInstances(
    const std::string& run_directory);

}  // namespace hydra

#endif  // HYDRA_STATE_INSTANCES_H_
