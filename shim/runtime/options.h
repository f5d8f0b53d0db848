// The options of the OCI runtime, as an engine sends them.
//
// They come as a google.protobuf.Any: containerd.runc.v1.Options to a shim
// called runc, runtimeoptions.v1.Options to every other. The latter holds
// TOML, or the path of a TOML file, with CRI's keys:
//
//   BinaryName, Root, ShimCgroup, CriuImagePath, CriuWorkPath    string
//   SystemdCgroup, NoPivotRoot, NoNewKeyring                     boolean
//   IoUid, IoGid                                                 integer
//
// and of our own `protocol`, "ttrpc" or "grpc", and the tables [spool] and
// [log]: see output_options.h.
//
// Any thread.

#ifndef HYDRA_RUNTIME_OPTIONS_H_
#define HYDRA_RUNTIME_OPTIONS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "containerd/runc/v1/options.pb.h"
#include "google/protobuf/any.pb.h"
#include "shim/runtime/output_options.h"

namespace hydra {

struct RuntimeOptions {
  containerd::runc::v1::Options options;
  OutputOptions output;
  // What the engine is told to speak. gRPC is for containerd 1.7, whose shims
  // may: 1.6 knows only ttrpc, and 2 takes a shim that speaks gRPC for dead.
  std::string protocol = "ttrpc";
  // What was ignored, one sentence each, for the log.
  std::vector<std::string> warnings;
};

// True if `type_url` is `name`, or ends in "/" and `name`: containerd writes
// bare names, protobuf's own PackFrom a prefix.
bool IsType(std::string_view type_url, std::string_view name);

// An Any without type_url gives the defaults, and so does one without value.
//
// InvalidArgument: a type that is neither of the two (named), a value that
// does not parse, TOML that does not parse or is not ASCII (with its line), a
// key with a value of the wrong type (named), an id that is no uint32, or a
// value that is none for a key of such a table.
// NotFound: there is no file at config_path. Unknown keys are warnings. If
// there are both a body and a path, the body counts, as it does for CRI.
absl::StatusOr<RuntimeOptions> DecodeOptions(const google::protobuf::Any& any);

// The TOML alone. `origin` names it in errors and warnings.
absl::StatusOr<RuntimeOptions> ParseOptionsToml(std::string_view text,
                                                std::string_view origin);

}  // namespace hydra

#endif  // HYDRA_RUNTIME_OPTIONS_H_
