// An OCI bundle (runtime-spec 1.0, bundle.md) that a container is made of.
//
// Any thread.

#ifndef HYDRA_CMD_HYDRA_BUNDLE_H_
#define HYDRA_CMD_HYDRA_BUNDLE_H_

#include <string>

#include "absl/status/statusor.h"
#include "cmd/hydra/spec.h"

namespace hydra::command {

// The config.json at `path`, of the bundle in `directory`, as it works from
// another one, and with what `options` say: command, variables, directory,
// numeric user, host name, terminal, volumes, tmpfs, resources, annotations, a
// read-only root. `cgroups_path` if it names none. NotFound: no such file;
// InvalidArgument, with the field: one that is no config.json.
absl::StatusOr<nlohmann::ordered_json> LoadConfig(
    const std::string& path, const std::string& directory,
    const SpecOptions& options, const std::string& cgroups_path);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_BUNDLE_H_
