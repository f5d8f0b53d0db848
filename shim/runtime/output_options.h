// What becomes of a container's output beside its way to the engine: from the
// runtime options, or from annotations of its config.json, which win.
//
//   TOML            annotation                  value
//   [spool]
//   policy          io.hydra.spool.policy       "block" (default) or
//                                               "drop-oldest"
//   max_bytes       io.hydra.spool.max-bytes    for each stream: a number with
//                                               k, m or g (1024s), at least
//                                               64k; default 64m; 0: no spool
//   stall_ms        io.hydra.spool.stall-ms     1 to 10000; default 20
//   [log]
//   max_bytes       io.hydra.log.max-bytes      a log for hydra.v1, see
//                                               link/journal.h: at least 1m;
//                                               default 0: none
//
// Any thread.

#ifndef HYDRA_RUNTIME_OUTPUT_OPTIONS_H_
#define HYDRA_RUNTIME_OUTPUT_OPTIONS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "shim/link/protocol.h"

namespace hydra {

struct OutputOptions {
  link::SpoolPolicy spool_policy = link::SpoolPolicy::kBlock;
  uint64_t spool_max_bytes = uint64_t{64} << 20;
  // Of two numbers: how long the container may wait for room (50 ms less what
  // a busy machine takes to get going), and how long a reader that is alive
  // may take to come round.
  uint32_t spool_stall_ms = 20;
  uint64_t log_max_bytes = 0;
};

// Whether there is such a table, and such a key in it.
bool IsOutputTable(std::string_view table);
bool IsOutputKey(std::string_view table, std::string_view key);

// Sets what the TOML calls `key`, which is one of the table's. InvalidArgument,
// with `name` and the value, if it is none for that key.
absl::Status SetOutputOption(std::string_view table, std::string_view key,
                             std::string_view value, std::string_view name,
                             OutputOptions* options);

// The same for all annotations that begin with "io.hydra." and a table's name;
// one that is not known is a sentence in `warnings`.
absl::Status ApplyOutputAnnotations(
    const std::map<std::string, std::string>& annotations,
    OutputOptions* options, std::vector<std::string>* warnings);

}  // namespace hydra

#endif  // HYDRA_RUNTIME_OUTPUT_OPTIONS_H_
