// The config.json (OCI runtime-spec 1.0) of a container that is made of a root
// file system and a command: what runc's and Docker's users expect of one.
//
// Any thread.

#ifndef HYDRA_CMD_HYDRA_SPEC_H_
#define HYDRA_CMD_HYDRA_SPEC_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hydra::command {

struct Volume {
  std::string source;  // On the host, absolute.
  std::string target;  // In the container, absolute.
  bool read_only = false;
};

struct SpecOptions {
  std::string rootfs;  // Absolute.
  std::vector<std::string> command;
  std::vector<std::string> environment;  // NAME=value
  std::string directory;
  // UID, UID:GID, or names of the root file system's passwd and group; empty:
  // root.
  std::string user;
  std::string hostname;
  std::string cgroups_path;
  bool terminal = false;
  bool read_only = false;
  bool privileged = false;  // All capabilities, nothing masked.
  bool host_network = false;
  std::vector<Volume> volumes;
  std::vector<std::string> tmpfs;
  std::vector<std::string> add_capabilities;  // With or without CAP_.
  std::vector<std::string> drop_capabilities;
  std::optional<uint64_t> memory_bytes;
  std::optional<double> cpus;
  std::optional<uint64_t> pids;
  std::map<std::string, std::string> annotations;
  // For a user who is not root: a user namespace in which he is.
  bool rootless = false;
};

// InvalidArgument: a user who is not there, a capability that is none.
absl::StatusOr<nlohmann::ordered_json> MakeSpec(const SpecOptions& options);

// Parts of it, for a spec that is there: what the volumes and tmpfs mount, and
// the resources that are limited.
nlohmann::ordered_json ExtraMounts(const SpecOptions& options);
nlohmann::ordered_json ResourceLimits(const SpecOptions& options);

// What a privileged process has.
nlohmann::ordered_json AllCapabilities();

// The same for an exec: the user of the file system in `root`.
absl::StatusOr<nlohmann::ordered_json> FindUser(const std::string& root,
                                                const std::string& user);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_SPEC_H_
