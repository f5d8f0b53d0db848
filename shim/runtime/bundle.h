// The files of a bundle that containerd's protocol makes the shim's: what is
// written here at Create is read again by `delete`, which may run when nothing
// else of the instance is left.
//
//   runtime        Options.binary_name, as it came; may be empty
//   options.json   the Options as JSON: proto field names, zero values left out
//   address        where the shim listens (read by containerd 1.x)
//   init.pid       written by the OCI runtime: decimal
//
// Names and formats are those of containerd's own runc shim, so that either
// shim can clean up after the other. Files are written beside their place and
// renamed: a reader sees the old or the new one, whole.
//
// Any thread.

#ifndef HYDRA_RUNTIME_BUNDLE_H_
#define HYDRA_RUNTIME_BUNDLE_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "containerd/runc/v1/options.pb.h"

namespace hydra {

// Writes `runtime` and `options.json`, mode 0600. An errno's status naming the
// file.
absl::Status SaveOptions(const std::string& bundle,
                         const containerd::runc::v1::Options& options);

// What SaveOptions wrote. A bundle without the files (its task was never
// created) gives the defaults. DataLoss, naming the file, for one that is no
// JSON object or has a value of the wrong type; keys that are not known are
// passed over.
absl::StatusOr<containerd::runc::v1::Options> LoadOptions(
    const std::string& bundle);

// Writes `address`, mode 0600. An errno's status naming the file.
absl::Status SaveAddress(const std::string& bundle, std::string_view address);

// Reads a pid file of the OCI runtime, `init.pid` or that of an exec. NotFound
// if there is none; DataLoss, naming the file, if it holds anything but a
// decimal pid above 0, with or without white space after it.
absl::StatusOr<pid_t> ReadPidFile(const std::string& path);

}  // namespace hydra

#endif  // HYDRA_RUNTIME_BUNDLE_H_
