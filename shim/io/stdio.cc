#include "shim/io/stdio.h"

#include <unistd.h>

#include <utility>

#include "shim/base/crash_point.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr std::chrono::seconds kAnswerLimit{1};

}  // namespace

const std::pair<Stdio::Slot, link::JournalTag> Stdio::kOutputs[] = {
    {kStdout, link::JournalTag::kStdout},
    {kStderr, link::JournalTag::kStderr},
    {kConsole, link::JournalTag::kConsole},
};

Stdio::Stdio(EventLoop* loop, MonitorClient* monitor, Config config)
    : loop_(loop), monitor_(monitor), config_(std::move(config)) {}

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
