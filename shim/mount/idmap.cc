#include "shim/mount/idmap.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

// Consumes a number and, when `end` is not 0, the character after it.
bool ConsumeNumber(std::string_view& text, char end, uint32_t& number) {
  const auto [next, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(next - text.data()));
  if (end == 0) return text.empty();
  if (!text.starts_with(end)) return false;
  text.remove_prefix(1);
  return true;
}

// What the holder does: wait until the other end of `pipe_fd` is closed. It
// has a copy of the memory of a process whose other threads stopped at any
// point, so it makes bare system calls only. It gives up its copies of the
// process's descriptors at once, for a pipe or lock that it kept open would
// be seen by others.
[[noreturn]] void HoldUserNamespace(int pipe_fd) {
  const auto fd = static_cast<unsigned>(pipe_fd);
  if (fd > 0) syscall(SYS_close_range, 0U, fd - 1, 0U);
  syscall(SYS_close_range, fd + 1, ~0U, 0U);
  char byte;
  while (syscall(SYS_read, pipe_fd, &byte, 1UL) < 0 && errno == EINTR) {
  }
  while (true) syscall(SYS_exit_group, 0);
}

// A process in a user namespace of its own. Ends, and is waited for, with the
// object.
class Holder final {
 public:
  static absl::StatusOr<Holder> Start();
  Holder(Holder&& other) noexcept
      : pid_(std::exchange(other.pid_, 0)), pipe_(std::move(other.pipe_)) {}
  Holder& operator=(Holder&&) = delete;
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    // __WALL: a child without an exit signal is not waited for otherwise.
    while (waitpid(pid_, nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }

  std::string ProcPath(std::string_view file) const {
    return absl::StrCat("/proc/", pid_, "/", std::string(file));
  }

 private:
  Holder(pid_t pid, UniqueFd pipe) : pid_(pid), pipe_(std::move(pipe)) {}

  pid_t pid_;
  UniqueFd pipe_;  // The holder lives while this is open.
};

absl::StatusOr<Holder> Holder::Start() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return ErrnoError(errno, "pipe2");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);

  // No handler of ours may run in the holder.
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  clone_args args = {};
  args.flags = CLONE_NEWUSER;
  const long pid = syscall(SYS_clone3, &args, sizeof(args));
  if (pid == 0) HoldUserNamespace(read_end.get());
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  if (pid < 0) return ErrnoError(error, "clone3 CLONE_NEWUSER");
  return Holder(static_cast<pid_t>(pid), std::move(write_end));
}

// The kernel takes a map in one write(2) or not at all.
absl::Status WriteMap(const std::string& path, const std::string& map) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open", path);
  if (write(fd.get(), map.data(), map.size()) < 0) {
    return ErrnoError(errno, "write", path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ParseIdMap(std::string_view map) {
  std::string lines;
  std::string_view rest = map;
  while (true) {
    const size_t comma = rest.find(',');
    std::string_view entry = rest.substr(0, comma);
    uint32_t container = 0;
    uint32_t host = 0;
    uint32_t size = 0;
    if (!ConsumeNumber(entry, ':', container) ||
        !ConsumeNumber(entry, ':', host) || !ConsumeNumber(entry, 0, size) ||
        size == 0) {
      return InvalidArgument(absl::StrCat("parse id map \"", std::string(map),
                                          "\": want container:host:size"));
    }
    absl::StrAppend(&lines, container, " ", host, " ", size, "\n");
    if (comma == std::string_view::npos) return lines;
    rest.remove_prefix(comma + 1);
  }
}

absl::StatusOr<UniqueFd> CreateUserNamespace(const std::string& uidmap,
                                             const std::string& gidmap) {
  HYDRA_ASSIGN_OR_RETURN(const std::string uid_lines, ParseIdMap(uidmap));
  HYDRA_ASSIGN_OR_RETURN(const std::string gid_lines, ParseIdMap(gidmap));
  HYDRA_ASSIGN_OR_RETURN(const Holder holder, Holder::Start());
  HYDRA_RETURN_IF_ERROR(WriteMap(holder.ProcPath("uid_map"), uid_lines));
  HYDRA_RETURN_IF_ERROR(WriteMap(holder.ProcPath("gid_map"), gid_lines));
  const std::string path = holder.ProcPath("ns/user");
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open", path);
  return fd;
}

absl::StatusOr<UniqueFd> CloneTree(int fd) {
  UniqueFd tree(open_tree(
      fd, "",
      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  if (!tree.valid()) return ErrnoError(errno, "open_tree");
  return tree;
}

absl::Status ShiftOwners(int tree, int user_namespace, bool read_only) {
  mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  if (read_only) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  attributes.propagation = MS_PRIVATE;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
                    sizeof(attributes)) < 0) {
    return ErrnoError(errno, "mount_setattr MOUNT_ATTR_IDMAP");
  }
  return absl::OkStatus();
}

absl::Status AttachTree(int tree, int target_fd) {
  if (move_mount(tree, "", target_fd, "",
                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0) {
    return ErrnoError(errno, "move_mount");
  }
  return absl::OkStatus();
}

}  // namespace hydra
