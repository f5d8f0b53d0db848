// Where a standard stream goes: the words of a request, understood and opened.
//
// Any thread.

#ifndef HYDRA_IO_SINK_H_
#define HYDRA_IO_SINK_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra {

enum class SinkKind {
  kNone,    // An empty name: /dev/null.
  kFifo,    // A path, or fifo://path; the path may be of a regular file too.
  kFile,    // file://path: stdout and stderr both go there.
  kBinary,  // binary://path?key=value: a logger; see logger.h.
  kClient,  // hydra://path: a FIFO whose reader, or writer, may leave.
  kNobody,  // hydra: a stream with no other end than what calls read of the
            // log, or write.
};

// The name of a stream of the kind kNobody, and what the name of one of the
// kind kClient begins with: containers that no engine has.
inline constexpr char kNobodyName[] = "hydra:";
inline constexpr char kClientPrefix[] = "hydra://";

struct SinkName {
  SinkKind kind = SinkKind::kNone;
  std::string path;
  // kBinary: key, value, key, value, in the order of the URI, decoded.
  std::vector<std::string> arguments;
  // binary-v2: a logger that ends without calling ready is an error.
  bool must_call_ready = false;
};

// InvalidArgument: a scheme that is none of these ("unknown STDIO scheme X"),
// or a path that is not absolute.
absl::StatusOr<SinkName> ParseSinkName(std::string_view name);

struct OpenedSink {
  UniqueFd fd;
  bool is_file = false;
};

// Opens a FIFO for reading and writing, so that a client that goes away is
// neither an EPIPE nor an end (fifo(7)); anything else to append to. Never
// blocks. Errors: "containerd-shim: opening file "x" failed: <reason>".
//
// kPath: a FIFO is not opened but found (O_PATH), for the monitor to open: see
// link::kOpensPaths.
enum class OpenMode { kOpen, kPath };
absl::StatusOr<OpenedSink> OpenSink(const std::string& path,
                                    OpenMode mode = OpenMode::kOpen);

// Creates and opens a log file and the directories above it (0644, 0755).
absl::StatusOr<UniqueFd> OpenLogFile(const std::string& path);

struct OpenedSource {
  UniqueFd fd;
  // A FIFO's write end, so that it has no end of file between two clients.
  UniqueFd hold;
};
absl::StatusOr<OpenedSource> OpenSource(const std::string& path,
                                        OpenMode mode = OpenMode::kOpen);

// Also of an O_PATH descriptor.
bool IsFifo(int fd);

}  // namespace hydra

#endif  // HYDRA_IO_SINK_H_
