// The command line, as containerd writes it.
//
// Syntax of Go's flag package: -x value, -x=value, --x value; a boolean is
// -x or -x=false; the first argument that is no flag, or "--", ends them.
//
// Any thread.

#ifndef HYDRA_CMD_SHIM_FLAGS_H_
#define HYDRA_CMD_SHIM_FLAGS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace hydra {

struct Flags {
  std::string container_namespace;  // -namespace
  std::string id;                   // -id
  std::string address;              // -address, the engine's gRPC socket
  std::string bundle;               // -bundle; empty at `start` up to 2.2
  std::string socket;               // -socket
  bool debug = false;               // -debug
  bool version = false;             // -v, -version
  bool info = false;                // -info
  bool help = false;                // -h, -help
  // The first argument after the flags: start, delete, serve, upgrade, check,
  // or nothing.
  std::string verb;
  std::vector<std::string> arguments;  // Those after the verb.
};

// `args` without the program's name. -publish-binary and -debug-socket are
// taken and not used. InvalidArgument for an unknown flag, a flag without its
// value, and a boolean that is none.
absl::StatusOr<Flags> ParseFlags(const std::vector<std::string_view>& args);

// One line for each flag.
std::string_view Usage();

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_FLAGS_H_
