// Making an instance for a container that no engine has.
//
// Main thread, and only that one: processes are forked.

#ifndef HYDRA_CMD_HYDRA_NATIVE_H_
#define HYDRA_CMD_HYDRA_NATIVE_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "shim/state/instances.h"
#include "shim/state/paths.h"

namespace hydra::command {

struct NativePlace {
  InstanceName name;
  InstancePaths paths;
  std::string data;    // The data directory.
  std::string bundle;  // In it.
};

// 12 hex digits that no other container has, as far as chance goes.
std::string RandomId();

// InvalidArgument: a name that is none.
absl::StatusOr<NativePlace> PlaceOf(const std::string& container_namespace,
                                    const std::string& id);

// Makes the bundle, with this config.json, and starts the instance; the monitor
// is init's child. AlreadyExists: there is a container of that name. On an
// error nothing is left. Otherwise a child of ours is, which is about to end:
// whoever stays for long calls ReapStarter.
absl::StatusOr<FoundInstance> StartInstance(const NativePlace& place,
                                            const nlohmann::ordered_json& spec);
void ReapStarter();

// The same, but this process becomes the monitor (l-HYDRA): the caller stays
// its parent, until it dies and init is. Returns in a child of it, which does
// what is left to do, and is there to tell if the monitor cannot serve. On an
// error before that it returns in this process.
absl::StatusOr<FoundInstance> BecomeInstance(
    const NativePlace& place, const nlohmann::ordered_json& spec);

// In the child that BecomeInstance has returned in: ends the monitor and
// removes the instance. The monitor's parent sees that it was killed, where one
// that leaves in peace has status 0.
void AbandonInstance(const FoundInstance& instance);

// Removes what is left of an instance whose monitor does not answer.
// FailedPrecondition: an engine has it, which does so itself at its next
// contact; or its monitor is alive, and `force` is not set.
absl::Status RemoveDead(const FoundInstance& instance, bool force);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_NATIVE_H_
