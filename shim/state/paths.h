// Where the runtime state of an instance is. The tree is drawn here and
// nowhere else, and all its paths come from here.
//
//   /run/hydra                     run directory; see RunDirectory()
//   `-- <engine>                   12 hex digits of sha256(engine's address),
//       |                          or "local" without an engine
//       |-- <namespace>            containerd's namespace
//       |   |-- <id>.sock          listens: ttrpc and gRPC; 0600
//       |   `-- <id>               instance directory, 0700
//       |       |-- state.pb       head: the container, its execs, the events
//       |       |                  that no engine has acknowledged
//       |       |-- exits          monitor: exit records
//       |       |-- monitor.pid    `start`: who the monitor is
//       |       `-- runtime/       the OCI runtime, unless told otherwise
//       `-- .s                     sockets that need a short name
//           |-- <hash>.sock        <id>.sock, if its name above is too long: 32
//           |                      hex digits of sha256(<namespace>/<id>)
//           `-- <hash>-<process>   console socket, while a process is started
//
// Two engines on one machine may use the same namespace and id, and must never
// meet: so the engine's address is part of the path. An engine that comes back
// or is upgraded has the same address, and finds the same place.
//
// What is too much for memory is below the state directory:
//
//   /var/lib/hydra                 state directory; see StateDirectory()
//   `-- <engine>/<namespace>/<id>  data directory, 0700; if there is anything
//       |-- log/                   monitor: what the container wrote, see
//       |                          shim/link/journal.h
//       |-- bundle/                a container that no engine has: its bundle
//       `-- hydra.log              and the log of its monitor and head
//
// Output that nobody reads is spooled in the state directory itself, in files
// that have no names: there is nothing to draw.
//
// Directories above the instance have mode 0711: a user who is told a path can
// reach what its own mode lets him, and nobody can list other people's
// containers. Runtime state is lost with /run at a reboot, as its processes
// are.
//
// No two names clash: an identifier begins with a letter or digit, so no
// namespace is ".s"; and the directory of an id that itself ends in ".sock" is
// called "<id>+", which no identifier can contain.
//
// Any thread.

#ifndef HYDRA_STATE_PATHS_H_
#define HYDRA_STATE_PATHS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hydra {

// What fits into sockaddr_un.sun_path beside its NUL (unix(7)).
inline constexpr size_t kMaxSocketPath = 107;

// Who an instance is. Identifiers are containerd's (containerd:
// pkg/identifiers): 1 to 76 characters, letters and digits in groups that
// single characters of "._-" separate.
struct InstanceName {
  // The engine's gRPC address as `-address` has it: a path, with or without
  // "unix://". Empty: no engine.
  std::string engine_address;
  std::string container_namespace;
  std::string id;
};

// The paths of one instance; all absolute if the run directory is.
struct InstancePaths {
  std::string engine_directory;
  std::string namespace_directory;
  std::string directory;  // The instance directory.
  std::string socket;     // At most kMaxSocketPath bytes.
  std::string state;      // state.pb
  std::string exits;
  std::string monitor_pid;
  std::string pids;  // A directory.
  // Where the OCI runtime keeps its state unless the options say so: for the
  // machine's own containerd the place that its users know, for any other
  // engine one that it cannot meet a namesake in.
  std::string runtime_root;

  // What an engine is told to dial: "unix://" and the socket's path.
  std::string Address() const { return "unix://" + socket; }
};

// InvalidArgument, naming `what` and the value, if it is no identifier.
absl::Status CheckIdentifier(std::string_view what, std::string_view value);

// $HYDRA_RUN_DIR if set (for tests, and for a second Hydra on one machine),
// else /run/hydra, else, for an effective user other than root,
// $XDG_RUNTIME_DIR/hydra or /run/user/<uid>/hydra. FailedPrecondition if a
// variable holds no absolute path.
absl::StatusOr<std::string> RunDirectory();

// Where what is too much for memory goes: $HYDRA_STATE_DIR if set, else
// /var/lib/hydra, else, for an effective user other than root,
// $XDG_STATE_HOME/hydra or $HOME/.local/state/hydra. Errors as above, and for
// a user without any of these variables.
absl::StatusOr<std::string> StateDirectory();

// The directory name of an engine: "local", or 12 hex digits. The address is
// cleaned first, so that "unix:///run/c.sock" and "/run//c.sock" are the same.
std::string EngineName(std::string_view address);

// The paths under `run_directory`. Touches nothing. InvalidArgument for a
// namespace or id that is no identifier, and if the run directory is so long
// that even the short socket path is too long.
absl::StatusOr<InstancePaths> PathsOf(std::string_view run_directory,
                                      const InstanceName& name);

// The same for an engine whose directory's name is known and whose address is
// not. `name.engine_address` is not used.
absl::StatusOr<InstancePaths> PathsInEngine(std::string_view run_directory,
                                            const std::string& engine,
                                            const InstanceName& name);

// The same under RunDirectory().
absl::StatusOr<InstancePaths> PathsOf(const InstanceName& name);

// Makes the directory of the instance's namespace, and what is above it. As
// MakeInstanceDirectory.
absl::Status MakeNamespaceDirectory(const InstancePaths& paths);

// Makes the instance directory and what it needs above it and above the
// socket, with the modes above; what is there already stays as it is. Works
// against a concurrent RemoveInstance of a neighbour that takes an empty
// parent away. An errno's status, naming the directory, if it cannot be made.
absl::Status MakeInstanceDirectory(const InstancePaths& paths);

// The data directory of an instance: as the instance directory, but below the
// state directory.
std::string DataDirectory(std::string_view state_directory,
                          const InstancePaths& paths);

// Makes it, 0700, with all that is above it, 0711. An errno's status.
absl::Status MakeDataDirectory(const std::string& directory);

// Removes it with all that is in it, and the directories above it that are
// empty then, up to the engine's. Nothing of that being there is OK.
absl::Status RemoveDataDirectory(const std::string& directory);

// Removes the socket, the instance directory with all that is in it, and those
// directories above that are empty then, up to the engine's. Nothing of that
// being there is OK: it may be done twice. Follows no symbolic link. An
// errno's status, naming the path, if something stays; the rest is removed.
absl::Status RemoveInstance(const InstancePaths& paths);

}  // namespace hydra

#endif  // HYDRA_STATE_PATHS_H_
