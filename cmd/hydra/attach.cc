// attach.

#include "cmd/hydra/foreground.h"
#include "cmd/hydra/verbs.h"

namespace hydra::command {
namespace {

absl::StatusOr<int> Attach(const Invocation& invocation) {
  return AttachTo(invocation, invocation.arguments()[0], nullptr);
}

}  // namespace

Verb AttachVerb() {
  return {"attach",
          {},
          "Watch a container's output, and type into its input",
          "Also beside an engine that has it, and beside others who are "
          "attached. The exit status is the container's; leaving with the "
          "detach keys gives 0 and lets it run on.",
          {{"CONTAINER", "see `hydra help stop`", Argument::Count::kOne,
            "container"}},
          {{"--replay", "SIZE", "of what it wrote before, to begin with"},
           {"--no-stdin", "", "only watch"},
           {"--detach-keys", "KEYS", "as for run"},
           {"--no-sig-proxy", "", "signals that we get are not sent to it"}},
          "stream of output, then exited or detached",
          Attach,
          kOwnStatus};
}

}  // namespace hydra::command
