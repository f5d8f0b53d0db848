// containerd-shim-hydra-v1: what containerd executes (`start`, `delete`,
// `-info`, `-v`), and what hydra-monitor executes (`serve`).

#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/containerd-shim-hydra-v1/delete.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"
#include "cmd/containerd-shim-hydra-v1/info.h"
#include "cmd/containerd-shim-hydra-v1/serve.h"
#include "cmd/containerd-shim-hydra-v1/start.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
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
  // Without a verb it is `serve` to containerd's own shims.
  if (flags->verb == "serve" || flags->verb.empty())
    return hydra::Serve(*flags);
  return Finish(
      "", hydra::InvalidArgument("verb \"" + flags->verb + "\": not known"));
}
