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

const std::pair<Stdio::Slot, link::JournalTag> Stdio::kOutputs[] = {
    {kStdout, link::JournalTag::kStdout},
    {kStderr, link::JournalTag::kStderr},
    {kConsole, link::JournalTag::kConsole},
};

Stdio::Stdio(EventLoop* loop, MonitorClient* monitor, Config config)
    : loop_(loop), monitor_(monitor), config_(std::move(config)) {}

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
  if (geteuid() == 0 &&
      fchown(container.get(), config_.uid, config_.gid) < 0) {
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
  HYDRA_CO_ASSIGN_OR_RETURN(const Names names, ParseNames());
  if (names.out.kind == SinkKind::kBinary) {
    absl::Status logging = co_await OpenLogger(names.out);
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
        config_.terminal ? OpenConsole(names) : OpenPipes(names);
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
    AddConsole(names, &stdio);
  } else {
    AddPipes(names, &stdio);
  }
  KeepJournal();
  co_return stdio;
}

Async<void> Stdio::Adopt() {
  // The runtime has its own by now.
  if (!monitor_->TakeStored(StoreName()).empty()) {
    monitor_->Unstore(StoreName());
  }
  // The head before us may not have come to it.
  KeepJournal();
  const absl::StatusOr<SinkName> out = ParseSinkName(config_.stdout_name);
  if (!out.ok() || out->kind != SinkKind::kBinary) co_return;
  // Its program is started again, should it be gone.
  const absl::Status opened = co_await OpenLogger(*out);
  (void)opened;  // It is logged and tried again there.
}

void Stdio::KeepJournal() {
  const Journal& journal = config_.journal;
  if (journal.number == 0) return;
  monitor_->OpenJournal(journal.number, journal.directory, journal.max_bytes);
  for (const auto& [slot, tag] : kOutputs) {
    if (monitor_->FindStream(Stream(slot)) != nullptr) {
      monitor_->SetStreamJournal(Stream(slot), journal.number, tag);
    }
  }
}

void Stdio::SetJournal(Journal journal) {
  const uint64_t before = config_.journal.number;
  config_.journal = std::move(journal);
  if (before != 0 && config_.journal.number == 0) {
    monitor_->CloseJournal(before);
  }
  KeepJournal();
}

Async<int> Stdio::Write(OperationKey key, std::string data) {
  const int error = co_await monitor_->WriteStream(
      key, Stream(config_.terminal ? kConsole : kStdin), std::move(data));
  co_return error;
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

std::vector<Stdio::Output> Stdio::OutputsOf(const MonitorClient& monitor,
                                            uint64_t process) {
  std::vector<Output> outputs;
  for (const auto& [slot, tag] : kOutputs) {
    const link::StreamState* state = monitor.FindStream(process * 4 + slot);
    if (state != nullptr) outputs.push_back({tag, state});
  }
  return outputs;
}

void Stdio::CloseStdin() {
  monitor_->CloseStreamStdin(Stream(config_.terminal ? kConsole : kStdin));
}

void Stdio::Resize(uint16_t rows, uint16_t columns) {
  if (config_.terminal) {
    monitor_->ResizeStream(Stream(kConsole), rows, columns);
  }
}

bool Stdio::drained() const {
  for (const Slot slot : {kStdout, kStderr, kConsole}) {
    const link::StreamState* state = monitor_->FindStream(Stream(slot));
    if (state != nullptr && state->ended == 0) return false;
  }
  return true;
}

void Stdio::OnStream() {
  if (drained()) drained_.Set(true);
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
  if (drained()) co_return true;
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
    if (now == copied) co_return this->drained();
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

Async<void> Stdio::Leave(std::chrono::milliseconds limit,
                         std::chrono::milliseconds longest) {
  if (logger_ != nullptr) {
    const bool drained = co_await Drain(limit, longest);
    (void)drained;  // What a logger that hangs has not read is lost.
    co_await Close();
    co_return;
  }
  CloseContainerEnds();
  for (const Slot slot : {kStdout, kStderr, kConsole}) {
    if (monitor_->FindStream(Stream(slot)) == nullptr) continue;
    if (monitor_->FindStream(Stream(slot))->ended != 0) {
      monitor_->CloseStream(Stream(slot));
    } else {
      monitor_->FinishStream(Stream(slot));
    }
  }
  if (monitor_->FindStream(Stream(kStdin)) != nullptr) {
    monitor_->CloseStream(Stream(kStdin));
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
