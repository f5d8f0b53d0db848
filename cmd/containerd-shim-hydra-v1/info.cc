#include "cmd/containerd-shim-hydra-v1/info.h"

#include <unistd.h>

#include <chrono>
#include <string>

#include "cmd/containerd-shim-hydra-v1/command.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "containerd/types/runtime_info.pb.h"
#include "shim/base/status.h"
#include "shim/base/version.h"
#include "shim/runtime/options.h"

namespace hydra {
namespace {

constexpr char kRuntimeName[] = "io.containerd.hydra.v1";
// containerd's typeurl for the OCI runtime-spec's features document.
constexpr char kFeaturesType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/features/Features";
constexpr std::chrono::seconds kFeaturesTimeout{5};

}  // namespace

absl::Status PrintVersion() {
  return WriteOutput(STDOUT_FILENO,
                     std::string("containerd-shim-hydra-v1:\n  Version:  ") +
                         Version() + "\n");
}

absl::Status PrintInfo() {
  HYDRA_ASSIGN_OR_RETURN(const std::string input, ReadInput(STDIN_FILENO));
  google::protobuf::Any any;
  if (!any.ParseFromString(input)) {
    return InvalidArgument("decode standard input: not runtime options");
  }
  HYDRA_ASSIGN_OR_RETURN(const RuntimeOptions options, DecodeOptions(any));
  const std::string& binary = options.options.binary_name();
  HYDRA_ASSIGN_OR_RETURN(
      CommandResult result,
      RunCommand({binary.empty() ? "runc" : binary, "features"},
                 kFeaturesTimeout));
  containerd::types::RuntimeInfo info;
  info.set_name(kRuntimeName);
  info.mutable_version()->set_version(Version());
  if (!input.empty()) *info.mutable_options() = any;
  if (result.ok() && !result.output.empty()) {
    info.mutable_features()->set_type_url(kFeaturesType);
    info.mutable_features()->set_value(std::move(result.output));
  }
  return WriteOutput(STDOUT_FILENO, info.SerializeAsString());
}

}  // namespace hydra
