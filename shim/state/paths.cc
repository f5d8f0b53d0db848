#include "shim/state/paths.h"

// SHA256_* is deprecated in favour of an interface that carries all of
// OpenSSL's providers along; these three are 14 kB.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <system_error>

#include "shim/base/crash_point.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr size_t kMaxIdentifier = 76;
constexpr mode_t kParentMode = 0711;
constexpr mode_t kInstanceMode = 0700;
// How often a directory is begun again when a parent is taken away: each time
// another instance had to end at that moment.
constexpr int kMakeAttempts = 100;

// The first `digits` hex digits of sha256(text).
std::string HexDigest(std::string_view text, size_t digits) {
  SHA256_CTX context;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_Init(&context);
  SHA256_Update(&context, text.data(), text.size());
  SHA256_Final(digest, &context);
  std::string hex;
  for (size_t i = 0; i < digits; ++i) {
    const unsigned nibble = i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2];
    hex.push_back("0123456789abcdef"[nibble & 0xf]);
  }
  return hex;
}

// isalnum(3) asks the locale.
bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

bool IsIdentifier(std::string_view value) {
  if (value.empty() || value.size() > kMaxIdentifier) return false;
  bool after_separator = true;
  for (char c : value) {
    if (IsAlphanumeric(c)) {
      after_separator = false;
    } else if (!after_separator && (c == '.' || c == '_' || c == '-')) {
      after_separator = true;
    } else {
      return false;
    }
  }
  return !after_separator;
}

absl::StatusOr<std::string> AbsoluteFromEnvironment(const char* name) {
  const char* value = getenv(name);
  if (value == nullptr || *value == '\0') return std::string();
  if (*value != '/') {
    return FailedPrecondition(std::string(name) + " \"" + value +
                              "\": not an absolute path");
  }
  std::string path = std::filesystem::path(value).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string ParentOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// 0 or an errno. A directory that is there already is fine.
int MakeDirectory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) {
    // The engine's umask may have taken bits away.
    return chmod(path.c_str(), mode) == 0 ? 0 : errno;
  }
  if (errno != EEXIST) return errno;
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return errno;
  return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
}

// The same, with all that is above it.
int MakeDirectories(const std::string& path, mode_t mode) {
  if (path.empty()) return 0;  // The parent of "/x".
  const int error = MakeDirectory(path, mode);
  if (error != ENOENT || path.rfind('/') == std::string::npos) return error;
  if (int above = MakeDirectories(ParentOf(path), mode); above != 0) {
    return above;
  }
  return MakeDirectory(path, mode);
}

// Calls `make`, which gives 0 or an errno, again as long as a parent of
// `directory` is taken away under its hands.
absl::Status MakeAgainstRemoval(const std::string& directory,
                                const std::function<int()>& make) {
  for (int attempt = 0;; ++attempt) {
    const int error = make();
    if (error == 0) return absl::OkStatus();
    if (error != ENOENT || attempt == kMakeAttempts) {
      return ErrnoError(error, "make directory", directory);
    }
  }
}

}  // namespace

absl::Status CheckIdentifier(std::string_view what, std::string_view value) {
  if (IsIdentifier(value)) return absl::OkStatus();
  std::string text(what);
  if (value.empty()) return InvalidArgument(text + ": must not be empty");
  // A hostile name must not fill the log.
  text.append(" \"").append(value.substr(0, 2 * kMaxIdentifier)).append("\": ");
  if (value.size() > kMaxIdentifier) {
    return InvalidArgument(text + "longer than " +
                           std::to_string(kMaxIdentifier) + " characters");
  }
  return InvalidArgument(text +
                         "must be letters and digits, with single \".\", "
                         "\"_\" or \"-\" between them");
}

absl::StatusOr<std::string> RunDirectory() {
  HYDRA_ASSIGN_OR_RETURN(std::string chosen,
                         AbsoluteFromEnvironment("HYDRA_RUN_DIR"));
  if (!chosen.empty()) return chosen;
  if (geteuid() == 0) return std::string("/run/hydra");
  HYDRA_ASSIGN_OR_RETURN(std::string user,
                         AbsoluteFromEnvironment("XDG_RUNTIME_DIR"));
  if (user.empty()) user = "/run/user/" + std::to_string(geteuid());
  return user + "/hydra";
}

absl::StatusOr<std::string> StateDirectory() {
  HYDRA_ASSIGN_OR_RETURN(std::string chosen,
                         AbsoluteFromEnvironment("HYDRA_STATE_DIR"));
  if (!chosen.empty()) return chosen;
  if (geteuid() == 0) return std::string("/var/lib/hydra");
  HYDRA_ASSIGN_OR_RETURN(std::string user,
                         AbsoluteFromEnvironment("XDG_STATE_HOME"));
  if (!user.empty()) return user + "/hydra";
  HYDRA_ASSIGN_OR_RETURN(user, AbsoluteFromEnvironment("HOME"));
  if (!user.empty()) return user + "/.local/state/hydra";
  return FailedPrecondition("HYDRA_STATE_DIR: not set, and neither is HOME");
}

std::string EngineName(std::string_view address) {
  constexpr std::string_view kScheme = "unix://";
  if (address.substr(0, kScheme.size()) == kScheme) {
    address.remove_prefix(kScheme.size());
  }
  if (address.empty()) return "local";
  if (address.front() != '/') return HexDigest(address, 12);
  std::string path = std::filesystem::path(address).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return HexDigest(path, 12);
}

absl::StatusOr<InstancePaths> PathsOf(std::string_view run_directory,
                                      const InstanceName& name) {
  return PathsInEngine(run_directory, EngineName(name.engine_address), name);
}

absl::StatusOr<InstancePaths> PathsInEngine(std::string_view run_directory,
                                            const std::string& engine,
                                            const InstanceName& name) {
  HYDRA_RETURN_IF_ERROR(CheckIdentifier("namespace", name.container_namespace));
  HYDRA_RETURN_IF_ERROR(CheckIdentifier("container id", name.id));
  constexpr std::string_view kSocketSuffix = ".sock";
  InstancePaths paths;
  paths.engine_directory = std::string(run_directory) + "/" + engine;
  paths.namespace_directory =
      paths.engine_directory + "/" + name.container_namespace;
  paths.directory = paths.namespace_directory + "/" + name.id;
  paths.socket = paths.directory + std::string(kSocketSuffix);
  if (name.id.size() > kSocketSuffix.size() &&
      name.id.compare(name.id.size() - kSocketSuffix.size(),
                      kSocketSuffix.size(), kSocketSuffix) == 0) {
    paths.directory += "+";
  }
  if (paths.socket.size() > kMaxSocketPath) {
    paths.socket = paths.engine_directory + "/.s/" +
                   HexDigest(name.container_namespace + "/" + name.id, 32) +
                   std::string(kSocketSuffix);
  }
  if (paths.socket.size() > kMaxSocketPath) {
    return InvalidArgument("run directory " + std::string(run_directory) +
                           ": too long for a socket below it");
  }
  paths.state = paths.directory + "/state.pb";
  paths.exits = paths.directory + "/exits";
  paths.monitor_pid = paths.directory + "/monitor.pid";
  paths.pids = paths.directory + "/pids";
  paths.runtime_root = engine == EngineName("/run/containerd/containerd.sock")
                           ? "/run/containerd/runc"
                           : paths.directory + "/runtime";
  return paths;
}

absl::StatusOr<InstancePaths> PathsOf(const InstanceName& name) {
  HYDRA_ASSIGN_OR_RETURN(std::string run_directory, RunDirectory());
  return PathsOf(run_directory, name);
}

absl::Status MakeNamespaceDirectory(const InstancePaths& paths) {
  return MakeAgainstRemoval(paths.namespace_directory, [&] {
    return MakeDirectories(paths.namespace_directory, kParentMode);
  });
}

absl::Status MakeInstanceDirectory(const InstancePaths& paths) {
  const std::string socket_directory = ParentOf(paths.socket);
  return MakeAgainstRemoval(paths.directory, [&] {
    int error = MakeDirectories(paths.namespace_directory, kParentMode);
    if (error == 0) error = MakeDirectory(paths.directory, kInstanceMode);
    if (error == 0 && socket_directory != paths.namespace_directory) {
      error = MakeDirectory(socket_directory, kParentMode);
    }
    return error;
  });
}

std::string DataDirectory(std::string_view state_directory,
                          const InstancePaths& paths) {
  // <engine>/<namespace>/<id>
  const size_t engine = paths.engine_directory.rfind('/');
  return std::string(state_directory) + paths.directory.substr(engine);
}

absl::Status MakeDataDirectory(const std::string& directory) {
  return MakeAgainstRemoval(directory, [&] {
    const int error = MakeDirectories(ParentOf(directory), kParentMode);
    return error == 0 ? MakeDirectory(directory, kInstanceMode) : error;
  });
}

absl::Status RemoveDataDirectory(const std::string& directory) {
  if (access(directory.c_str(), F_OK) != 0 && errno == ENOENT) {
    return absl::OkStatus();
  }
  std::error_code error;
  std::filesystem::remove_all(directory, error);
  if (error) return ErrnoError(error.value(), "remove", directory);
  // As below.
  const std::string parent = ParentOf(directory);
  rmdir(parent.c_str());
  rmdir(ParentOf(parent).c_str());
  return absl::OkStatus();
}

absl::Status RemoveInstance(const InstancePaths& paths) {
  absl::Status result;
  if (unlink(paths.socket.c_str()) != 0 && errno != ENOENT &&
      errno != ENOTDIR) {
    result = ErrnoError(errno, "unlink", paths.socket);
  }
  HYDRA_CRASH_POINT("state.socket_removed");
  std::error_code error;
  std::filesystem::remove_all(paths.directory, error);
  HYDRA_CRASH_POINT("state.directory_removed");
  if (error) result = ErrnoError(error.value(), "remove", paths.directory);
  // These fail as long as a neighbour is in them, and that is the test.
  rmdir(paths.namespace_directory.c_str());
  rmdir((paths.engine_directory + "/.s").c_str());
  rmdir(paths.engine_directory.c_str());
  return result;
}

}  // namespace hydra
