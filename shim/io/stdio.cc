#include "shim/io/stdio.h"

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

namespace hydra {
namespace {

constexpr std::chrono::seconds kAnswerLimit{1};

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

OpenMode Stdio::Mode() const {
  return (monitor_->welcome().features & link::kOpensPaths) != 0
             ? OpenMode::kPath
             : OpenMode::kOpen;
}

absl::Status Stdio::OpenSourceOfInput() {
  HYDRA_ASSIGN_OR_RETURN(OpenedSource source,
                         OpenSource(config_.stdin_name, Mode()));
  opened_.push_back(std::move(source.fd));
  if (source.hold.valid()) opened_.push_back(std::move(source.hold));
  return absl::OkStatus();
}

absl::Status Stdio::OpenSinkOf(const SinkName& name) {
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
  if (fchown(container.get(), config_.uid, config_.gid) < 0) {
    return ErrnoError(errno, "fchown pipe");
  }
  SetNonblocking(ours);
  opened_.push_back(std::move(ours));
  opened_.push_back(std::move(container));
  return absl::OkStatus();
}

absl::Status Stdio::OpenPipes(const SinkName& out, const SinkName& err) {
  if (!config_.stdin_name.empty()) {
    HYDRA_RETURN_IF_ERROR(OpenSourceOfInput());
    HYDRA_RETURN_IF_ERROR(OpenPipe(kStdin));
  }
  if (out.kind == SinkKind::kBinary) {
    HYDRA_RETURN_IF_ERROR(OpenPipe(kStdout));
    return OpenPipe(kStderr);
  }
  if (out.kind != SinkKind::kNone) {
    HYDRA_RETURN_IF_ERROR(OpenSinkOf(out));
    HYDRA_RETURN_IF_ERROR(OpenPipe(kStdout));
  }
  if (err.kind != SinkKind::kNone) {
    HYDRA_RETURN_IF_ERROR(OpenSinkOf(err));
    HYDRA_RETURN_IF_ERROR(OpenPipe(kStderr));
  }
  return absl::OkStatus();
}

int Stdio::Take() { return opened_.at(taken_++).get(); }

void Stdio::AddInput(ProcessStdio* stdio) {
  const int source = Take();
  const bool is_fifo = IsFifo(source);
  const int hold = is_fifo ? Take() : -1;
  std::vector<int> fds = {source, Take()};
  if (is_fifo) fds.push_back(hold);
  monitor_->AddStream(Stream(kStdin), link::StreamKind::kInput,
                      is_fifo ? link::kStreamHoldsFifo : 0u, fds);
  stdio->fds.emplace_back(STDIN_FILENO, Take());
}

void Stdio::AddOutput(Slot slot, int sink, ProcessStdio* stdio) {
  const int source = Take();
  monitor_->AddStream(
      Stream(slot), link::StreamKind::kOutput,
      link::kStreamHeld | (IsFifo(sink) ? 0u : link::kStreamSinkIsFile),
      {source, sink}, config_.spool);
  stdio->fds.emplace_back(static_cast<int>(slot), Take());
}

void Stdio::AddPipes(const SinkName& out, const SinkName& err,
                     ProcessStdio* stdio) {
  if (!config_.stdin_name.empty()) AddInput(stdio);
  if (out.kind == SinkKind::kBinary) {
    AddOutput(kStdout, logger_->stdout_fd(), stdio);
    AddOutput(kStderr, logger_->stderr_fd(), stdio);
    return;
  }
  if (out.kind != SinkKind::kNone) AddOutput(kStdout, Take(), stdio);
  if (err.kind != SinkKind::kNone) AddOutput(kStderr, Take(), stdio);
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

absl::Status Stdio::OpenConsole(const SinkName& out) {
  HYDRA_ASSIGN_OR_RETURN(UniqueFd listener, ListenForConsole());
  opened_.push_back(std::move(listener));
  if (out.kind != SinkKind::kNone && out.kind != SinkKind::kBinary) {
    HYDRA_RETURN_IF_ERROR(OpenSinkOf(out));
  }
  return config_.stdin_name.empty() ? absl::OkStatus() : OpenSourceOfInput();
}

void Stdio::AddConsole(const SinkName& out, ProcessStdio* stdio) {
  std::vector<int> fds = {Take()};
  uint32_t flags = 0;
  if (out.kind != SinkKind::kNone) {
    flags |= link::kStreamHasOutput;
    fds.push_back(out.kind == SinkKind::kBinary ? logger_->stdout_fd()
                                                : Take());
    if (out.kind != SinkKind::kBinary && !IsFifo(fds.back())) {
      flags |= link::kStreamSinkIsFile;
    }
  }
  if (!config_.stdin_name.empty()) {
    flags |= link::kStreamHasInput;
    fds.push_back(Take());
    if (IsFifo(fds.back())) {
      flags |= link::kStreamHoldsFifo;
      fds.push_back(Take());
    }
  }
  monitor_->AddStream(Stream(kConsole), link::StreamKind::kConsole, flags, fds,
                      config_.spool);
  stdio->console_socket = config_.console_socket;
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
  } else if (out.kind == SinkKind::kFile) {
    err = out;
  }
  if (out.kind == SinkKind::kBinary) {
    absl::Status logging = co_await OpenLogger(out);
    if (!logging.ok()) {
      co_await Close();
      co_return logging;
    }
  }
  opened_ = monitor_->TakeStored(StoreName());
  taken_ = 0;
  if (opened_.empty()) {
    EndStreams();
    absl::Status status =
        config_.terminal ? OpenConsole(out) : OpenPipes(out, err);
    if (!status.ok()) {
      co_await Close();
      co_return status;
    }
    std::vector<int> stored;
    for (const auto& fd : opened_) stored.push_back(fd.get());
    if (!stored.empty()) monitor_->Store(StoreName(), stored);
  }
  stored_ = !opened_.empty();
  ProcessStdio stdio;
  if (config_.terminal) {
    AddConsole(out, &stdio);
  } else {
    AddPipes(out, err, &stdio);
  }
  co_return stdio;
}

Async<void> Stdio::Adopt() {
  // The runtime has its own by now.
  if (!monitor_->TakeStored(StoreName()).empty()) {
    monitor_->Unstore(StoreName());
  }
  const absl::StatusOr<SinkName> out = ParseSinkName(config_.stdout_name);
  if (!out.ok() || out->kind != SinkKind::kBinary) co_return;
  // Its program is started again, should it be gone.
  const absl::Status opened = co_await OpenLogger(*out);
  (void)opened;  // It is logged and tried again there.
}

void Stdio::CloseContainerEnds() {
  opened_.clear();
  if (std::exchange(stored_, false)) monitor_->Unstore(StoreName());
  if (config_.terminal) unlink(config_.console_socket.c_str());
  HYDRA_CRASH_POINT("io.container_ends_closed");
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

Async<uint64_t> Stdio::CountCopied() {
  const Future<bool> told = monitor_->AskStreams();
  // An older monitor does not answer, and tells only of the end.
  const bool answered = co_await SetWithin(loop_, told, kAnswerLimit);
  (void)answered;
  uint64_t bytes = 0;
  for (const Slot slot : {kStdout, kStderr, kConsole}) {
    const link::StreamState* state = monitor_->FindStream(Stream(slot));
    if (state != nullptr) bytes += state->bytes + state->lost_bytes;
  }
  co_return bytes;
}

Async<bool> Stdio::Drain(std::chrono::milliseconds limit,
                         std::chrono::milliseconds longest) {
  if (Drained()) co_return true;
  for (const Slot slot : {kStdout, kStderr, kConsole}) {
    if (monitor_->FindStream(Stream(slot)) != nullptr) {
      monitor_->FinishStream(Stream(slot));
    }
  }
  drained_ = {};
  const Future<bool> drained = drained_;
  const auto give_up = EventLoop::Clock::now() + longest;
  uint64_t copied = co_await CountCopied();
  while (true) {
    const bool done = co_await SetWithin(loop_, drained, limit);
    if (done || EventLoop::Clock::now() >= give_up) co_return done;
    const uint64_t now = co_await CountCopied();
    if (now == copied) co_return Drained();
    copied = now;
  }
}

void Stdio::EndStreams() {
  for (const Slot slot : {kStdin, kStdout, kStderr, kConsole}) {
    if (monitor_->FindStream(Stream(slot)) != nullptr) {
      monitor_->CloseStream(Stream(slot));
    }
  }
}

Async<void> Stdio::Close() {
  // What a head before us opened, and we did not come to.
  stored_ |= !monitor_->TakeStored(StoreName()).empty();
  CloseContainerEnds();
  EndStreams();
  if (logger_ != nullptr) {
    co_await logger_->Close();
    logger_.reset();
  }
}

}  // namespace hydra
