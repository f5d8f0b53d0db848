// What an engine tells `start` on standard input, and how it wants to be
// answered.
//
// containerd 2.3 and later send BootstrapParams and read BootstrapResult.
// Those before send an Any of runtime options, or nothing, and read an
// address. Nothing in the bytes says which it is, and most Anys parse as
// BootstrapParams too: only a message that names this very container is one.
//
// Any thread.

#ifndef HYDRA_CMD_SHIM_BOOTSTRAP_H_
#define HYDRA_CMD_SHIM_BOOTSTRAP_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cmd/containerd-shim-hydra-v1/flags.h"
#include "google/protobuf/any.pb.h"

namespace hydra {

struct Bootstrap {
  // The caller reads a BootstrapResult.
  bool is_message = false;
  // Of the runtime; without a type if there are none.
  google::protobuf::Any options;
  // Where events go; empty: $TTRPC_ADDRESS has it.
  std::string ttrpc_address;
  // The engine's gRPC socket.
  std::string grpc_address;
  bool debug = false;
  // What the engine is to speak: the runtime options say so.
  std::string protocol = "ttrpc";
};

// InvalidArgument if `input` is neither.
absl::StatusOr<Bootstrap> DecodeBootstrap(const std::string& input,
                                          const Flags& flags);

// What goes to standard output. Task API version 2 over ttrpc, which every
// engine from 1.6 on takes, and with which 2.x starts one shim for each
// container of a pod, where version 3 would put all of them into one. gRPC is
// told in JSON, as containerd 1.7 reads it.
std::string EncodeAnswer(const Bootstrap& bootstrap,
                         const std::string& address);

}  // namespace hydra

#endif  // HYDRA_CMD_SHIM_BOOTSTRAP_H_
