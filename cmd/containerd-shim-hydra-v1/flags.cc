#include "cmd/containerd-shim-hydra-v1/flags.h"

#include <optional>

#include "shim/base/status.h"

namespace hydra {
namespace {

// Where a flag's value goes; one of the two.
struct Target {
  std::string* text = nullptr;
  bool* boolean = nullptr;
};

std::optional<Target> FindFlag(std::string_view name, Flags* flags,
                               std::string* unused) {
  if (name == "namespace") return Target{&flags->container_namespace, nullptr};
  if (name == "id") return Target{&flags->id, nullptr};
  if (name == "address") return Target{&flags->address, nullptr};
  if (name == "bundle") return Target{&flags->bundle, nullptr};
  if (name == "socket") return Target{&flags->socket, nullptr};
  if (name == "publish-binary" || name == "debug-socket") {
    return Target{unused, nullptr};
  }
  if (name == "debug") return Target{nullptr, &flags->debug};
  if (name == "v" || name == "version") {
    return Target{nullptr, &flags->version};
  }
  if (name == "info") return Target{nullptr, &flags->info};
  if (name == "h" || name == "help") return Target{nullptr, &flags->help};
  return std::nullopt;
}

// strconv.ParseBool's words.
std::optional<bool> ParseBool(std::string_view text) {
  for (std::string_view word : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == word) return true;
  }
  for (std::string_view word : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(const std::vector<std::string_view>& args) {
  Flags flags;
  std::string unused;
  size_t next = 0;
  while (next < args.size()) {
    std::string_view arg = args[next];
    // A lone "-" is an argument.
    if (arg.size() < 2 || arg[0] != '-') break;
    ++next;
    if (arg == "--") break;
    const std::string shown(arg);
    arg.remove_prefix(arg[1] == '-' ? 2 : 1);
    const size_t equals = arg.find('=');
    const std::string_view name = arg.substr(0, equals);
    std::optional<std::string_view> value;
    if (equals != std::string_view::npos) value = arg.substr(equals + 1);

    const std::optional<Target> target = FindFlag(name, &flags, &unused);
    if (!target) return InvalidArgument("flag " + shown + ": not known");
    if (target->boolean != nullptr) {
      const std::optional<bool> parsed = ParseBool(value.value_or("true"));
      if (!parsed) return InvalidArgument("flag " + shown + ": not a boolean");
      *target->boolean = *parsed;
      continue;
    }
    if (!value) {
      if (next == args.size()) {
        return InvalidArgument("flag " + shown + ": needs a value");
      }
      value = args[next++];
    }
    target->text->assign(*value);
  }
  if (next < args.size()) flags.verb = args[next++];
  flags.arguments.assign(args.begin() + static_cast<ptrdiff_t>(next),
                         args.end());
  return flags;
}

std::string_view Usage() {
  return "usage: containerd-shim-hydra-v1 [flags] start|delete|serve|check\n"
         "       containerd-shim-hydra-v1 upgrade --help\n"
         "containerd runs this; by hand, see hydra(1).\n"
         "  -namespace NAME   namespace of the container\n"
         "  -id ID            the container\n"
         "  -address PATH     the engine's gRPC socket\n"
         "  -bundle PATH      the container's bundle (delete, serve)\n"
         "  -debug            log more\n"
         "  -info             print what this runtime can do, as protobuf\n"
         "  -v                print the version\n";
}

}  // namespace hydra
