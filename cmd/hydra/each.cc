#include "cmd/hydra/each.h"

#include <string>

#include "cmd/hydra/find.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

absl::StatusOr<Json> ActOn(
    const Invocation& invocation, const std::string& name,
    const std::function<absl::StatusOr<Json>(Client& client)>& act) {
  HYDRA_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                         TimeoutOf(invocation));
  HYDRA_ASSIGN_OR_RETURN(FoundInstance instance,
                         FindContainer(invocation, name));
  Client client(std::move(instance), timeout);
  HYDRA_ASSIGN_OR_RETURN(const Json result, act(client));
  Json object = IdentityOf(client.instance());
  object.update(result);
  return object;
}

}  // namespace

Json IdentityOf(const FoundInstance& instance) {
  return {{"namespace", instance.container_namespace}, {"id", instance.id}};
}

absl::StatusOr<int> ForEachContainer(
    const Invocation& invocation,
    const std::function<absl::StatusOr<Json>(Client& client)>& act) {
  bool failed = false;
  for (const std::string& name : invocation.arguments()) {
    const absl::StatusOr<Json> result = ActOn(invocation, name, act);
    if (result.ok()) {
      HYDRA_RETURN_IF_ERROR(invocation.json() ? PrintJson(*result)
                                              : Print(name + "\n"));
      continue;
    }
    failed = true;
    Complain(invocation.json(), invocation.verb().name, result.status(), name);
  }
  return failed ? kFailedStatus : 0;
}

}  // namespace hydra::command
