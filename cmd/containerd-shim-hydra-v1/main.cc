// containerd-shim-hydra-v1: what containerd executes (`start`, `delete`,
// `-info`, `-v`), what hydra-monitor executes (`serve`, `check`), and what
// people execute (`upgrade`).

#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/containerd-shim-hydra-v1/check.h"
#include "cmd/containerd-shim-hydra-v1/delete.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"
#include "cmd/containerd-shim-hydra-v1/info.h"
#include "cmd/containerd-shim-hydra-v1/serve.h"
#include "cmd/containerd-shim-hydra-v1/start.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "cmd/containerd-shim-hydra-v1/upgrade.h"
#include "shim/base/status.h"

namespace {

// One line: the engine shows it to whoever wanted the container.
int Finish(std::string_view verb, const absl::Status& status) {
  if (status.ok()) return 0;
  fprintf(stderr, "containerd-shim-hydra-v1: %.*s%s\n",
          static_cast<int>(verb.size()), verb.data(),
          hydra::Message(status).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<hydra::Flags> flags =
      hydra::ParseFlags(std::vector<std::string_view>(argv + 1, argv + argc));
  if (!flags.ok()) return Finish("", flags.status());
  if (flags->help) {
    return Finish("", hydra::WriteOutput(STDOUT_FILENO, hydra::Usage()));
  }
  if (flags->version) return Finish("", hydra::PrintVersion());
  if (flags->info) return Finish("info: ", hydra::PrintInfo());
  if (flags->verb == "start") return Finish("start: ", hydra::Start(*flags));
  if (flags->verb == "delete") return Finish("delete: ", hydra::Delete(*flags));
  if (flags->verb == "check") return Finish("check: ", hydra::Check(*flags));
  if (flags->verb == "upgrade") return hydra::Upgrade(*flags);
  // Without a verb it is `serve` to containerd's own shims.
  if (flags->verb == "serve" || flags->verb.empty())
    return hydra::Serve(*flags);
  return Finish(
      "", hydra::InvalidArgument("verb \"" + flags->verb + "\": not known"));
}
