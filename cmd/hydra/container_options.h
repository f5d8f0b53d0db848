// The options of `run` and `create`: what container it is to be, and how its
// instance is to treat it.
//
// Main thread.

#ifndef HYDRA_CMD_HYDRA_CONTAINER_OPTIONS_H_
#define HYDRA_CMD_HYDRA_CONTAINER_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/hydra/native.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verb.h"
#include "hydra/v1/container.pb.h"

namespace hydra::command {

const std::vector<Option>& ContainerOptions();

struct NewContainer {
  NativePlace place;
  Json spec;  // Its config.json.
  v1::RunRequest request;
};

// InvalidArgument: options that make no sense, alone or together; NotFound: a
// file that one of them names.
absl::StatusOr<NewContainer> ReadContainerOptions(const Invocation& invocation);

// The same for `restore`: of what was saved in `config`.
absl::StatusOr<NewContainer> ReadRestoreOptions(const Invocation& invocation,
                                                const std::string& checkpoint,
                                                const std::string& config);

// --memory, --cpus and --pids-limit, as OCI's LinuxResources.
absl::StatusOr<Json> ReadResourceLimits(const Invocation& invocation);

// "no", "on-failure:3", "always", "unless-stopped". InvalidArgument.
absl::StatusOr<v1::RestartPolicy> ParseRestartPolicy(const std::string& text);
std::string RestartPolicyText(const v1::RestartPolicy& policy);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_CONTAINER_OPTIONS_H_
