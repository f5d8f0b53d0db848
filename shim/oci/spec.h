// The few fields of a bundle's config.json (OCI runtime-spec) that the shim
// itself acts on; the OCI runtime reads the file for the rest.
//
// Any thread.

#ifndef HYDRA_OCI_SPEC_H_
#define HYDRA_OCI_SPEC_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hydra {

// A larger config.json is refused unread.
inline constexpr size_t kMaxSpecSize = size_t{64} << 20;

struct ConsoleSize {
  uint16_t rows = 0;     // consoleSize.height
  uint16_t columns = 0;  // consoleSize.width
};

struct Spec {
  std::map<std::string, std::string> annotations;
  // process.terminal
  bool terminal = false;
  // process.consoleSize
  std::optional<ConsoleSize> console_size;
  // root.path as it stands there: relative to the bundle if not absolute.
  // Empty if there is none.
  std::string root_path;
  // linux.cgroupsPath, for example "/docker/<id>", or "slice:prefix:name" for
  // a runtime that is to ask systemd.
  std::string cgroups_path;
  // linux.namespaces has a pid namespace without a path: the container's init
  // is its pid 1, and takes all its processes along when it dies.
  bool has_private_pid_namespace = false;
  // linux.uidMappings or linux.gidMappings is not empty.
  bool has_user_mappings = false;
};

// Reads the file at `path`. NotFound if there is none; InvalidArgument if it
// is over kMaxSpecSize, is no JSON object, or a field above has another type
// than the specification gives it; else an errno's status. Each names the
// file, and the field as "linux.cgroupsPath".
absl::StatusOr<Spec> LoadSpec(const std::string& path);

// The same of `text`; errors name `origin` in the file's place.
absl::StatusOr<Spec> ParseSpec(std::string_view text,
                               std::string_view origin = "spec");

}  // namespace hydra

#endif  // HYDRA_OCI_SPEC_H_
