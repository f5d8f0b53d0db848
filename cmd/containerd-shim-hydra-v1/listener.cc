#include "cmd/containerd-shim-hydra-v1/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr std::chrono::seconds kMonitorGrace{1};
constexpr int kAttempts = 20;
// Longer than a rival may need for a stale monitor.
constexpr std::chrono::seconds kLockLimit{10};
constexpr int kLockPollMs = 1;

// PathsOf keeps paths short enough.
sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(),
         std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

UniqueFd MakeSocket() {
  return UniqueFd(
      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

// Held by who looks whether a name is free, clears up there and takes it: two
// at once would each take what the other has just made for a dead instance's.
//
// The lock is on the namespace's directory. The end of a neighbour may take
// that away, and somebody make it again: then it keeps nobody out any more.
class NamespaceLock final {
 public:
  static absl::StatusOr<NamespaceLock> Take(const InstancePaths& paths);
  bool holds() const;

 private:
  NamespaceLock(UniqueFd fd, std::string path)
      : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::string path_;
};

absl::StatusOr<NamespaceLock> NamespaceLock::Take(const InstancePaths& paths) {
  const std::string& path = paths.namespace_directory;
  const auto limit = std::chrono::steady_clock::now() + kLockLimit;
  while (std::chrono::steady_clock::now() < limit) {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno != ENOENT && errno != ENOTDIR) {
        return ErrnoError(errno, "open", path);
      }
      HYDRA_RETURN_IF_ERROR(MakeNamespaceDirectory(paths));
      continue;
    }
    NamespaceLock lock(std::move(fd), path);
    if (flock(lock.fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return ErrnoError(errno, "lock", path);
      poll(nullptr, 0, kLockPollMs);
    } else if (lock.holds()) {
      return lock;
    }
  }
  return MakeError(absl::StatusCode::kAborted,
                   "lock " + path + ": another start keeps it");
}

bool NamespaceLock::holds() const {
  struct stat ours, there;
  return fstat(fd_.get(), &ours) == 0 && stat(path_.c_str(), &there) == 0 &&
         ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

absl::Status EndStaleMonitor(const InstancePaths& paths) {
  const absl::StatusOr<MonitorRef> monitor =
      MonitorRef::Open(paths.monitor_pid);
  // A file that cannot be read names nobody who could be waited for.
  if (!monitor.ok() || monitor->WaitForEnd(kMonitorGrace)) {
    return absl::OkStatus();
  }
  return monitor->KillWithChildren(kMonitorGrace);
}

}  // namespace

bool IsAlive(const std::string& path) {
  const UniqueFd fd = MakeSocket();
  const sockaddr_un address = AddressOf(path);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) == 0 ||
         errno == EAGAIN || errno == EINPROGRESS;
}

absl::StatusOr<UniqueFd> MakeListener(const InstancePaths& paths) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    HYDRA_ASSIGN_OR_RETURN(const NamespaceLock lock,
                           NamespaceLock::Take(paths));
    if (Exists(paths.socket) || Exists(paths.directory)) {
      if (IsAlive(paths.socket)) return UniqueFd();
      HYDRA_RETURN_IF_ERROR(EndStaleMonitor(paths));
      HYDRA_RETURN_IF_ERROR(RemoveInstance(paths));
      // It was the only one there.
      if (!lock.holds()) continue;
    }
    HYDRA_RETURN_IF_ERROR(MakeInstanceDirectory(paths));
    if (!lock.holds()) continue;
    UniqueFd fd = MakeSocket();
    if (!fd.valid()) {
      const int error = errno;
      (void)RemoveInstance(paths);  // The first error is the one to tell.
      return ErrnoError(error, "make socket");
    }
    const sockaddr_un address = AddressOf(paths.socket);
    // The mode comes from the umask: a chmod would be too late.
    const mode_t old_mask = umask(0177);
    const int error =
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof(address)) == 0
            ? 0
            : errno;
    umask(old_mask);
    if (error == 0) {
      if (listen(fd.get(), SOMAXCONN) == 0) return fd;
      const int listen_error = errno;
      (void)RemoveInstance(paths);  // As above.
      return ErrnoError(listen_error, "listen", paths.socket);
    }
    // A neighbour's end has taken an empty parent away, or there is a socket
    // after all.
    if (error != ENOENT && error != EADDRINUSE) {
      (void)RemoveInstance(paths);  // As above.
      return ErrnoError(error, "bind", paths.socket);
    }
  }
  return MakeError(absl::StatusCode::kAborted,
                   "bind " + paths.socket + ": the place keeps being taken");
}

}  // namespace hydra
