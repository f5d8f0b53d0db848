// Opening what a process's streams are made of, and handing it to the monitor.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "shim/base/crash_point.h"
#include "shim/base/status.h"
#include "shim/io/stdio.h"

namespace hydra {
namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return ErrnoError(errno, "pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// The two ends are open files of their own: only the monitor's is changed.
void SetNonblocking(const UniqueFd& fd) {
  fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

// Binds to a path whose directory may not be there. An instance that ends takes
// the directory away if it is empty, maybe just now: then once more.
bool Bind(int fd, const sockaddr_un& name) {
  const std::string path = name.sun_path;
  const std::string parent = path.substr(0, path.rfind('/'));
  constexpr int kAttempts = 10;
  for (int i = 0; i < kAttempts; ++i) {
    mkdir(parent.c_str(), 0711);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0) {
      return true;
    }
    if (errno != ENOENT) return false;
  }
  return false;
}

}  // namespace

absl::StatusOr<Stdio::Names> Stdio::ParseNames() const {
  Names names;
  HYDRA_ASSIGN_OR_RETURN(names.in, ParseSinkName(config_.stdin_name));
  HYDRA_ASSIGN_OR_RETURN(names.out, ParseSinkName(config_.stdout_name));
  if (config_.terminal) return names;
  // A file or a logger takes both.
  if (names.out.kind == SinkKind::kFile ||
      names.out.kind == SinkKind::kBinary) {
    names.err = names.out;
    return names;
  }
  HYDRA_ASSIGN_OR_RETURN(names.err, ParseSinkName(config_.stderr_name));
  // Only the scheme of stdout counts.
  if (names.err.kind == SinkKind::kFile ||
      names.err.kind == SinkKind::kBinary) {
    names.err.kind = SinkKind::kFifo;
  }
  return names;
}

OpenMode Stdio::Mode() const {
  return (monitor_->welcome().features & link::kOpensPaths) != 0
             ? OpenMode::kPath
             : OpenMode::kOpen;
}

absl::Status Stdio::OpenSourceOfInput(const SinkName& in) {
  if (in.kind == SinkKind::kNobody) return absl::OkStatus();
  HYDRA_ASSIGN_OR_RETURN(OpenedSource source, OpenSource(in.path, Mode()));
  opened_.push_back(std::move(source.fd));
  if (source.hold.valid()) opened_.push_back(std::move(source.hold));
  return absl::OkStatus();
}

absl::Status Stdio::OpenSinkOf(const SinkName& name) {
  // A logger has its pipes from elsewhere.
  if (name.kind == SinkKind::kNobody || name.kind == SinkKind::kBinary) {
    return absl::OkStatus();
  }
  OpenedSink sink;
  if (name.kind == SinkKind::kFile) {
    HYDRA_ASSIGN_OR_RETURN(sink.fd, OpenLogFile(name.path));
  } else {
    HYDRA_ASSIGN_OR_RETURN(sink, OpenSink(name.path, Mode()));
  }
  opened_.push_back(std::move(sink.fd));
  return absl::OkStatus();
}

// The monitor's end, then the container's.
absl::Status Stdio::OpenPipe(Slot slot) {
  HYDRA_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  UniqueFd& ours = slot == kStdin ? pipe.write : pipe.read;
  UniqueFd& container = slot == kStdin ? pipe.read : pipe.write;
  // What an ordinary user makes is its own already, and can be nobody else's.
  if (geteuid() == 0 && fchown(container.get(), config_.uid, config_.gid) < 0) {
    return ErrnoError(errno, "fchown pipe");
  }
  SetNonblocking(ours);
  opened_.push_back(std::move(ours));
  opened_.push_back(std::move(container));
  return absl::OkStatus();
}

absl::Status Stdio::OpenPipes(const Names& names) {
  if (names.in.kind != SinkKind::kNone) {
    HYDRA_RETURN_IF_ERROR(OpenSourceOfInput(names.in));
    HYDRA_RETURN_IF_ERROR(OpenPipe(kStdin));
  }
  if (names.out.kind != SinkKind::kNone) {
    HYDRA_RETURN_IF_ERROR(OpenSinkOf(names.out));
    HYDRA_RETURN_IF_ERROR(OpenPipe(kStdout));
  }
  if (names.err.kind != SinkKind::kNone) {
    HYDRA_RETURN_IF_ERROR(OpenSinkOf(names.err));
    HYDRA_RETURN_IF_ERROR(OpenPipe(kStderr));
  }
  return absl::OkStatus();
}

int Stdio::Take() { return opened_.at(taken_++).get(); }

void Stdio::AddInput(const SinkName& in, ProcessStdio* stdio) {
  uint32_t flags = 0;
  std::vector<int> fds;
  int hold = -1;
  if (in.kind == SinkKind::kNobody) {
    flags |= link::kStreamNoSource;
  } else {
    fds.push_back(Take());
    if (IsFifo(fds.back())) {
      flags |= link::kStreamHoldsFifo;
      hold = Take();
    }
  }
  fds.push_back(Take());
  if (hold >= 0) fds.push_back(hold);
  monitor_->AddStream(Stream(kStdin), link::StreamKind::kInput, flags, fds);
  stdio->fds.emplace_back(STDIN_FILENO, Take());
}

void Stdio::AddOutput(Slot slot, const SinkName& name, ProcessStdio* stdio) {
  uint32_t flags = link::kStreamHeld;
  int sink = -1;
  if (name.kind == SinkKind::kBinary) {
    sink = slot == kStdout ? logger_->stdout_fd() : logger_->stderr_fd();
  } else if (name.kind == SinkKind::kNobody) {
    flags |= link::kStreamNoSink;
  } else {
    sink = Take();
    if (!IsFifo(sink)) flags |= link::kStreamSinkIsFile;
    if (name.kind == SinkKind::kClient) flags |= link::kStreamSinkMayLeave;
  }
  std::vector<int> fds = {Take()};
  if (sink >= 0) fds.push_back(sink);
  monitor_->AddStream(Stream(slot), link::StreamKind::kOutput, flags, fds,
                      config_.spool, StreamBefore(slot));
  stdio->fds.emplace_back(static_cast<int>(slot), Take());
}

void Stdio::AddPipes(const Names& names, ProcessStdio* stdio) {
  if (names.in.kind != SinkKind::kNone) AddInput(names.in, stdio);
  if (names.out.kind != SinkKind::kNone) AddOutput(kStdout, names.out, stdio);
  if (names.err.kind != SinkKind::kNone) AddOutput(kStderr, names.err, stdio);
}

absl::StatusOr<UniqueFd> Stdio::ListenForConsole() const {
  const std::string& path = config_.console_socket;
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof(name.sun_path)) {
    return InvalidArgument("failed to create OCI runtime console socket: " +
                           path + ": path is too long");
  }
  memcpy(name.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  unlink(path.c_str());
  if (!fd.valid() || !Bind(fd.get(), name) || chmod(path.c_str(), 0600) < 0 ||
      listen(fd.get(), 1) < 0) {
    return Annotate(ErrnoError(errno, "listen", path),
                    "failed to create OCI runtime console socket");
  }
  HYDRA_CRASH_POINT("io.console_listens");
  return fd;
}

absl::Status Stdio::OpenConsole(const Names& names) {
  HYDRA_ASSIGN_OR_RETURN(UniqueFd listener, ListenForConsole());
  opened_.push_back(std::move(listener));
  if (names.out.kind != SinkKind::kNone) {
    HYDRA_RETURN_IF_ERROR(OpenSinkOf(names.out));
  }
  return names.in.kind == SinkKind::kNone ? absl::OkStatus()
                                          : OpenSourceOfInput(names.in);
}

void Stdio::AddConsole(const Names& names, ProcessStdio* stdio) {
  std::vector<int> fds = {Take()};
  uint32_t flags = 0;
  if (names.out.kind != SinkKind::kNone &&
      names.out.kind != SinkKind::kNobody) {
    const bool is_logger = names.out.kind == SinkKind::kBinary;
    flags |= link::kStreamHasOutput;
    fds.push_back(is_logger ? logger_->stdout_fd() : Take());
    if (!is_logger && !IsFifo(fds.back())) flags |= link::kStreamSinkIsFile;
    if (names.out.kind == SinkKind::kClient) {
      flags |= link::kStreamSinkMayLeave;
    }
  }
  if (names.in.kind == SinkKind::kNobody) {
    flags |= link::kStreamHasInput | link::kStreamNoSource;
  } else if (names.in.kind != SinkKind::kNone) {
    flags |= link::kStreamHasInput;
    fds.push_back(Take());
    if (IsFifo(fds.back())) {
      flags |= link::kStreamHoldsFifo;
      fds.push_back(Take());
    }
  }
  monitor_->AddStream(Stream(kConsole), link::StreamKind::kConsole, flags, fds,
                      config_.spool, StreamBefore(kConsole));
  stdio->console_socket = config_.console_socket;
}

}  // namespace hydra
