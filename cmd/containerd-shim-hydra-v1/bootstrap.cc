#include "cmd/containerd-shim-hydra-v1/bootstrap.h"

#include <nlohmann/json.hpp>

#include "containerd/runtime/bootstrap.pb.h"
#include "shim/base/status.h"
#include "shim/runtime/options.h"

namespace hydra {
namespace {

using containerd::runtime::bootstrap::v1::BootstrapParams;
using containerd::runtime::bootstrap::v1::BootstrapResult;

constexpr char kTtrpc[] = "ttrpc";
// The address's, which containerd 1.7 puts before it itself if it is gRPC's.
constexpr std::string_view kScheme = "unix://";

// Runtime options are the one extension that is for us; the others are passed
// over, as the message allows.
google::protobuf::Any FindOptions(const BootstrapParams& params) {
  for (const auto& extension : params.extensions()) {
    for (std::string_view name :
         {"containerd.runc.v1.Options", "runtimeoptions.v1.Options"}) {
      if (IsType(extension.value().type_url(), name)) return extension.value();
    }
  }
  return {};
}

}  // namespace

absl::StatusOr<Bootstrap> DecodeBootstrap(const std::string& input,
                                          const Flags& flags) {
  Bootstrap bootstrap;
  bootstrap.grpc_address = flags.address;
  bootstrap.debug = flags.debug;
  if (input.empty()) return bootstrap;

  BootstrapParams params;
  if (params.ParseFromString(input) && params.instance_id() == flags.id &&
      params.namespace_() == flags.container_namespace) {
    bootstrap.is_message = true;
    bootstrap.options = FindOptions(params);
    bootstrap.ttrpc_address = params.containerd_ttrpc_address();
    if (bootstrap.grpc_address.empty()) {
      bootstrap.grpc_address = params.containerd_grpc_address();
    }
    bootstrap.debug = bootstrap.debug ||
                      params.log_level() <=
                          containerd::runtime::bootstrap::v1::LOG_LEVEL_DEBUG;
    return bootstrap;
  }
  if (!bootstrap.options.ParseFromString(input)) {
    return InvalidArgument(
        "decode standard input: neither bootstrap parameters of this "
        "container nor runtime options");
  }
  return bootstrap;
}

std::string EncodeAnswer(const Bootstrap& bootstrap,
                         const std::string& address) {
  if (!bootstrap.is_message) {
    if (bootstrap.protocol == kTtrpc) return address;
    return nlohmann::json{{"version", 2},
                          {"address", address.substr(kScheme.size())},
                          {"protocol", bootstrap.protocol}}
        .dump();
  }
  BootstrapResult result;
  result.set_version(2);
  result.set_address(address);
  result.set_protocol(kTtrpc);
  return result.SerializeAsString();
}

}  // namespace hydra
