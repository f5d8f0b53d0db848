// What a container's output spools are to be like: from the runtime options,
// or from annotations of its config.json, which win.
//
//   TOML            annotation                  value
//   [spool]
//   policy          io.hydra.spool.policy       "block" (default) or
//                                               "drop-oldest"
//   max_bytes       io.hydra.spool.max-bytes    for each stream: a number with
//                                               k, m or g (1024s), at least
//                                               64k; default 64m; 0: no spool
//   stall_ms        io.hydra.spool.stall-ms     1 to 10000; default 20
//
// Any thread.

#ifndef HYDRA_RUNTIME_SPOOL_OPTIONS_H_
#define HYDRA_RUNTIME_SPOOL_OPTIONS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "shim/link/protocol.h"

namespace hydra {

struct SpoolOptions {
  link::SpoolPolicy policy = link::SpoolPolicy::kBlock;
  uint64_t max_bytes = uint64_t{64} << 20;
  // Of two numbers: how long the container may wait for room (50 ms less what
  // a busy machine takes to get going), and how long a reader that is alive
  // may take to come round.
  uint32_t stall_ms = 20;
};

// Whether `key` is one of the TOML's.
bool IsSpoolKey(std::string_view key);

// Sets what the TOML calls `key`. InvalidArgument, with `name` and the value,
// if it is none for that key.
absl::Status SetSpoolOption(std::string_view key, std::string_view value,
                            std::string_view name, SpoolOptions* options);

// The same for all annotations that begin with "io.hydra.spool."; one that is
// not known is a sentence in `warnings`.
absl::Status ApplySpoolAnnotations(
    const std::map<std::string, std::string>& annotations,
    SpoolOptions* options, std::vector<std::string>* warnings);

}  // namespace hydra

#endif  // HYDRA_RUNTIME_SPOOL_OPTIONS_H_
