#include "shim/io/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>

#include "shim/base/status.h"

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

Stdio::Stdio(EventLoop* loop, MonitorClient* monitor, Config config)
    : loop_(loop), monitor_(monitor), config_(std::move(config)) {}

absl::Status Stdio::AddInput(ProcessStdio* stdio) {
  if (config_.stdin_name.empty()) return absl::OkStatus();
  HYDRA_ASSIGN_OR_RETURN(OpenedSource source, OpenSource(config_.stdin_name));
  HYDRA_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  if (fchown(pipe.read.get(), config_.uid, config_.gid) < 0) {
    return ErrnoError(errno, "fchown stdin pipe");
  }
  SetNonblocking(pipe.write);
  std::vector<int> fds = {source.fd.get(), pipe.write.get()};
  uint32_t flags = 0;
  if (source.hold.valid()) {
    flags |= link::kStreamHoldsFifo;
    fds.push_back(source.hold.get());
  }
  monitor_->AddStream(Stream(kStdin), link::StreamKind::kInput, flags, fds);
  stdio->fds.emplace_back(STDIN_FILENO, pipe.read.get());
  container_ends_.push_back(std::move(pipe.read));
  return absl::OkStatus();
}

absl::Status Stdio::AddOutput(Slot slot, const OpenedSink& sink,
                              ProcessStdio* stdio) {
  HYDRA_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  if (fchown(pipe.write.get(), config_.uid, config_.gid) < 0) {
    return ErrnoError(errno, "fchown output pipe");
  }
  SetNonblocking(pipe.read);
  monitor_->AddStream(
      Stream(slot), link::StreamKind::kOutput,
      link::kStreamHeld | (sink.is_file ? link::kStreamSinkIsFile : 0u),
      {pipe.read.get(), sink.fd.get()});
  stdio->fds.emplace_back(static_cast<int>(slot), pipe.write.get());
  container_ends_.push_back(std::move(pipe.write));
  return absl::OkStatus();
}

absl::Status Stdio::OpenPipes(const SinkName& out, const SinkName& err,
                              ProcessStdio* stdio) {
  HYDRA_RETURN_IF_ERROR(AddInput(stdio));
  if (out.kind == SinkKind::kBinary) {
    stdio->fds.emplace_back(STDOUT_FILENO, logger_->stdout_fd());
    stdio->fds.emplace_back(STDERR_FILENO, logger_->stderr_fd());
    return absl::OkStatus();
  }
  if (out.kind == SinkKind::kFile) {
    HYDRA_ASSIGN_OR_RETURN(UniqueFd file, OpenLogFile(out.path));
    const OpenedSink sink{std::move(file), true};
    HYDRA_RETURN_IF_ERROR(AddOutput(kStdout, sink, stdio));
    return AddOutput(kStderr, sink, stdio);
  }
  if (out.kind == SinkKind::kFifo) {
    HYDRA_ASSIGN_OR_RETURN(const OpenedSink sink, OpenSink(out.path));
    HYDRA_RETURN_IF_ERROR(AddOutput(kStdout, sink, stdio));
  }
  if (err.kind == SinkKind::kFifo) {
    HYDRA_ASSIGN_OR_RETURN(const OpenedSink sink, OpenSink(err.path));
    HYDRA_RETURN_IF_ERROR(AddOutput(kStderr, sink, stdio));
  }
  return absl::OkStatus();
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
  return fd;
}

absl::Status Stdio::OpenConsole(const SinkName& out, ProcessStdio* stdio) {
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd listener, ListenForConsole());
  std::vector<int> fds = {listener.get()};
  uint32_t flags = 0;
  OpenedSink sink;
  if (out.kind == SinkKind::kFifo) {
    HYDRA_ASSIGN_OR_RETURN(sink, OpenSink(out.path));
  } else if (out.kind == SinkKind::kFile) {
    HYDRA_ASSIGN_OR_RETURN(sink.fd, OpenLogFile(out.path));
    sink.is_file = true;
  }
  int sink_fd = sink.fd.get();
  if (out.kind == SinkKind::kBinary) sink_fd = logger_->stdout_fd();
  if (sink_fd >= 0) {
    flags |= link::kStreamHasOutput;
    if (sink.is_file) flags |= link::kStreamSinkIsFile;
    fds.push_back(sink_fd);
  }
  OpenedSource source;
  if (!config_.stdin_name.empty()) {
    HYDRA_ASSIGN_OR_RETURN(source, OpenSource(config_.stdin_name));
    flags |= link::kStreamHasInput;
    fds.push_back(source.fd.get());
    if (source.hold.valid()) {
      flags |= link::kStreamHoldsFifo;
      fds.push_back(source.hold.get());
    }
  }
  monitor_->AddStream(Stream(kConsole), link::StreamKind::kConsole, flags, fds);
  stdio->console_socket = config_.console_socket;
  return absl::OkStatus();
}

Async<absl::Status> Stdio::OpenLogger(const SinkName& name) {
  Logger::Config config;
  config.binary = name;
  config.container_id = config_.logger_id;
  config.container_namespace = config_.container_namespace;
  config.number = config_.process;
  logger_ = std::make_unique<Logger>(loop_, monitor_, std::move(config));
  absl::Status status = co_await logger_->Open();
  co_return status;
}

Async<absl::StatusOr<ProcessStdio>> Stdio::Open() {
  HYDRA_CO_ASSIGN_OR_RETURN(const SinkName out,
                            ParseSinkName(config_.stdout_name));
  // Only the scheme of stdout counts; a file or a logger takes both.
  SinkName err;
  if (!config_.terminal &&
      (out.kind == SinkKind::kNone || out.kind == SinkKind::kFifo)) {
    HYDRA_CO_ASSIGN_OR_RETURN(err, ParseSinkName(config_.stderr_name));
    if (err.kind != SinkKind::kNone) err.kind = SinkKind::kFifo;
  }
  EndStreams();
  if (out.kind == SinkKind::kBinary) {
    absl::Status opened = co_await OpenLogger(out);
    if (!opened.ok()) {
      co_await Close();
      co_return opened;
    }
  }
  ProcessStdio stdio;
  absl::Status status =
      config_.terminal ? OpenConsole(out, &stdio) : OpenPipes(out, err, &stdio);
  if (!status.ok()) {
    co_await Close();
    co_return status;
  }
  co_return stdio;
}

Async<void> Stdio::Adopt() {
  const absl::StatusOr<SinkName> out = ParseSinkName(config_.stdout_name);
  if (!out.ok() || out->kind != SinkKind::kBinary) co_return;
  // Its program is started again, should it be gone.
  const absl::Status opened = co_await OpenLogger(*out);
  (void)opened;  // It is logged and tried again there.
}

void Stdio::CloseContainerEnds() {
  container_ends_.clear();
  if (config_.terminal) unlink(config_.console_socket.c_str());
}

void Stdio::StartOutput() {
  for (const Slot slot : {kStdout, kStderr}) {
    if (monitor_->FindStream(Stream(slot)) != nullptr) {
      monitor_->StartStream(Stream(slot));
    }
  }
}

void Stdio::ProcessExited() {
  if (monitor_->FindStream(Stream(kConsole)) != nullptr) {
    monitor_->FinishStream(Stream(kConsole));
  }
}

void Stdio::CloseStdin() {
  monitor_->CloseStreamStdin(Stream(config_.terminal ? kConsole : kStdin));
}

void Stdio::Resize(uint16_t rows, uint16_t columns) {
  if (config_.terminal) {
    monitor_->ResizeStream(Stream(kConsole), rows, columns);
  }
}

bool Stdio::Drained() const {
  for (const Slot slot : {kStdout, kStderr, kConsole}) {
    const link::StreamState* state = monitor_->FindStream(Stream(slot));
    if (state != nullptr && state->ended == 0) return false;
  }
  return true;
}

void Stdio::OnStream() {
  if (Drained()) drained_.Set(true);
}

Async<bool> Stdio::Drain(std::chrono::milliseconds limit) {
  if (Drained()) co_return true;
  for (const Slot slot : {kStdout, kStderr, kConsole}) {
    if (monitor_->FindStream(Stream(slot)) != nullptr) {
      monitor_->FinishStream(Stream(slot));
    }
  }
  drained_ = {};
  const Future<bool> drained = drained_;
  const auto timer = SetAfter(loop_, limit, drained);
  const bool done = co_await drained;
  co_return done;
}

void Stdio::EndStreams() {
  for (const Slot slot : {kStdin, kStdout, kStderr, kConsole}) {
    if (monitor_->FindStream(Stream(slot)) != nullptr) {
      monitor_->CloseStream(Stream(slot));
    }
  }
}

Async<void> Stdio::Close() {
  CloseContainerEnds();
  EndStreams();
  if (logger_ != nullptr) {
    co_await logger_->Close();
    logger_.reset();
  }
}

}  // namespace hydra
