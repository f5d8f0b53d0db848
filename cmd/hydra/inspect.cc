// inspect.

#include <string>
#include <utility>

#include "cmd/hydra/client.h"
#include "cmd/hydra/describe.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

absl::Status InspectOne(const Invocation& invocation, const std::string& name) {
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                         ClientOf(invocation, name));
  HYDRA_ASSIGN_OR_RETURN(const v1::InspectResponse response, client->Inspect());
  Json object = ToJson(response);
  object["socket"] = client->instance().socket;
  return invocation.json() ? PrintJson(object) : Print(Indented(object));
}

absl::StatusOr<int> Inspect(const Invocation& invocation) {
  bool failed = false;
  for (const std::string& name : invocation.arguments()) {
    const absl::Status status = InspectOne(invocation, name);
    if (status.ok()) continue;
    failed = true;
    Complain(invocation.json(), invocation.verb().name, status, name);
  }
  return failed ? kFailedStatus : 0;
}

}  // namespace

Verb InspectVerb() {
  return {
      "inspect",
      {},
      "Tell all that is known of containers and of those who keep them",
      "",
      {{"CONTAINER", "see `hydra help stop`", Argument::Count::kMany,
        "container"}},
      {},
      "object for each container: engine, container, monitor, head, counts, "
      "link_version, socket",
      Inspect};
}

}  // namespace hydra::command
