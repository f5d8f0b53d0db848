#include "shim/monitor/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <string>
#include <utility>

#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

using link::StreamKind;

constexpr int64_t kRetryDelay = 100 * kMillisecond;
// For as long a late reader waits for the end of file.
constexpr int64_t kUnreadCheck = 500 * kMillisecond;
// Of what is written to a process that does not read.
constexpr size_t kMaxWaitingInput = 256 << 10;

unsigned long long Printable(uint64_t number) { return number; }

}  // namespace

Streams::Stream* Streams::FindByNumber(uint64_t number) {
  for (auto& [serial, stream] : streams_) {
    if (stream.number == number) return &stream;
  }
  return nullptr;
}

void Streams::Add(link::Message message) {
  const auto body = message.Body<link::StreamAdd>();
  if (FindByNumber(body.stream) != nullptr) return;
  Stream& stream = streams_[next_serial_];
  stream.number = body.stream;
  stream.serial = next_serial_++;
  stream.kind = static_cast<StreamKind>(body.kind);
  const Stream* before = FindByNumber(body.after);
  if (before != nullptr && before != &stream && !before->ended) {
    stream.after = body.after;
    stream.output.SetBlocked(true);
  }
  stream.setup_error = SetUp(&stream, &message);
  if (stream.setup_error != 0) {
    LogError("stream %llu: %s", Printable(body.stream),
             ErrorName(stream.setup_error));
    End(&stream);
  }
}

void Streams::OnEvent(EventKind kind, uint64_t serial) {
  const auto found = streams_.find(serial);
  if (found == streams_.end()) return;
  Stream* stream = &found->second;
  switch (kind) {
    case EventKind::kConsoleSetup:
      SetUpConsole(stream);
      break;
    case EventKind::kStreamOutput:
      RunOutput(stream);
      break;
    case EventKind::kStreamInput:
      RunInput(stream);
      break;
    default:  // The master, for both ways.
      RunInput(stream);
      RunOutput(stream);
      break;
  }
}

void Streams::Queue(Stream* stream) {
  if (stream->queued) return;
  stream->queued = true;
  more_.push_back(stream->serial);
}

void Streams::RunLater(Stream* stream, Copy::Result result) {
  if (result == Copy::Result::kMore) Queue(stream);
  if (result == Copy::Result::kRetry) retry_at_ = MonotonicNow() + kRetryDelay;
}

void Streams::RunOutput(Stream* stream) {
  if (stream->ended || stream->held || stream->kind == StreamKind::kInput) {
    return;
  }
  const bool is_console = stream->kind == StreamKind::kConsole;
  if (is_console && !stream->master.valid()) return;
  const Copy::Result result = stream->output.Run();
  RunLater(stream, result);
  stall_at_ = std::min(stall_at_, stream->output.stall_at());
  const bool drained = stream->finishing && result == Copy::Result::kWaiting &&
                       stream->output.is_drained();
  if (result == Copy::Result::kSourceEnd || drained) End(stream);
}

void Streams::RunInput(Stream* stream) {
  if (stream->ended || stream->input_ended ||
      stream->kind == StreamKind::kOutput) {
    return;
  }
  const bool is_console = stream->kind == StreamKind::kConsole;
  if (is_console && !stream->master.valid()) return;
  const Copy::Result result = stream->input.Run();
  RunLater(stream, result);
  const bool all_written =
      stream->input_closing && stream->input.pending() == 0;
  if (result != Copy::Result::kSourceEnd && result != Copy::Result::kSinkEnd &&
      !all_written) {
    return;
  }
  // The end of a terminal's input is no hang-up: its program goes on.
  EndInput(stream);
  if (!is_console) End(stream);
}

void Streams::EndInput(Stream* stream) {
  stream->input.Stop();
  stream->input.SetSource(-1);
  stream->input_source.Reset();
  stream->input_sink.Reset();
  stream->held_fifo.Reset();
  stream->input_ended = true;
}

void Streams::Release(Stream* stream) {
  EndInput(stream);
  stream->output.Stop();
  stream->output_source.Reset();
  stream->output_sink.Reset();
  stream->receiver.Stop();
  if (stream->master.valid()) poller_->Remove(stream->master.get());
  stream->master.Reset();
  stream->ended = true;
}

void Streams::KeepUnread(Stream* stream) {
  const int sink = stream->output_sink.get();
  struct stat st;
  int unread = 0;
  if (sink < 0 || fstat(sink, &st) < 0 || !S_ISFIFO(st.st_mode) ||
      (fcntl(sink, F_GETFL) & O_ACCMODE) != O_RDWR ||
      ioctl(sink, FIONREAD, &unread) < 0 || unread == 0) {
    return;
  }
  stream->output.Stop();
  const std::string path = "/proc/self/fd/" + std::to_string(sink);
  stream->unread_sink.Reset(
      open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  // Now other readers can be told from ourselves.
  stream->output_sink.Reset();
  CheckUnread(stream);
}

void Streams::CheckUnread(Stream* stream) {
  const int sink = stream->unread_sink.get();
  int unread = 0;
  if (ioctl(sink, FIONREAD, &unread) < 0 || unread == 0) {
    stream->unread_sink.Reset();
    return;
  }
  pollfd writer = {sink, POLLOUT, 0};
  const bool has_reader =
      poll(&writer, 1, 0) <= 0 || (writer.revents & POLLERR) == 0;
  // A reader sees its end only after our close, so it is not kept waiting for
  // longer than it takes to read what there is.
  int64_t& delay = stream->unread_delay;
  delay = has_reader ? std::min(delay * 2, kUnreadCheck) : kShortestCheck;
  unread_check_at_ = std::min(
      unread_check_at_, MonotonicNow() + (has_reader ? delay : kUnreadCheck));
}

void Streams::LetFollow(uint64_t number) {
  for (auto& [serial, stream] : streams_) {
    if (stream.after != number || number == 0) continue;
    stream.after = 0;
    stream.output.SetBlocked(false);
    Queue(&stream);
  }
}

void Streams::End(Stream* stream) {
  if (stream->ended) return;
  KeepUnread(stream);
  Release(stream);
  LetFollow(stream->number);
  link::Writer* head = head_->output();
  if (head != nullptr) Tell(*stream, head);
}

void Streams::Close(uint64_t number) {
  Stream* stream = FindByNumber(number);
  if (stream == nullptr) return;
  const uint64_t unread = StateOf(*stream).spool_size;
  if (unread > 0) {
    LogWarning("stream %llu: %llu bytes of its spool were never read",
               Printable(number), Printable(unread));
  }
  // What the head ends itself it need not be told of.
  Release(stream);
  streams_.erase(stream->serial);
  LetFollow(number);
}

void Streams::Finish(uint64_t number) {
  Stream* stream = FindByNumber(number);
  if (stream == nullptr || stream->kind == StreamKind::kInput ||
      stream->ended) {
    return;
  }
  const bool is_console = stream->kind == StreamKind::kConsole;
  // The master may have been sent, and not been looked at yet.
  if (is_console) SetUpConsole(stream);
  stream->finishing = true;
  stream->held = false;
  if (is_console && !stream->master.valid()) {
    End(stream);
  } else {
    RunOutput(stream);
  }
}

void Streams::StartHeld(uint64_t number) {
  Stream* stream = FindByNumber(number);
  if (stream == nullptr || !stream->held) return;
  stream->held = false;
  RunOutput(stream);
}

void Streams::CloseStdin(uint64_t number) {
  Stream* stream = FindByNumber(number);
  if (stream == nullptr) return;
  stream->held_fifo.Reset();
  // A terminal has an end of input of its own: the program goes on.
  if (stream->kind == StreamKind::kInput && !stream->input_source.valid()) {
    stream->input_closing = true;
    RunInput(stream);
  }
}

int Streams::Write(uint64_t number, std::string_view data) {
  Stream* stream = FindByNumber(number);
  if (stream == nullptr || stream->kind == StreamKind::kOutput) return ENOENT;
  if (stream->ended || stream->input_closing) return EPIPE;
  // A terminal whose client has gone takes what others write.
  const bool is_console = stream->kind == StreamKind::kConsole;
  if (stream->input_ended && !is_console) return EPIPE;
  if (stream->input.pending() > kMaxWaitingInput) return EAGAIN;
  stream->input_ended = false;
  stream->input.Add(data);
  RunInput(stream);
  return 0;
}

void Streams::SetJournal(const link::StreamJournal& body) {
  Stream* stream = FindByNumber(body.stream);
  if (stream == nullptr) return;
  stream->journal = body.journal;
  stream->journal_tag = static_cast<link::JournalTag>(body.tag);
  stream->output.SetJournal(journals_->Find(body.journal), stream->journal_tag);
}

void Streams::ForgetJournal(uint64_t journal) {
  for (auto& [serial, stream] : streams_) {
    if (stream.journal != journal) continue;
    stream.journal = 0;
    stream.output.SetJournal(nullptr, stream.journal_tag);
  }
}

void Streams::Resize(const link::StreamResize& resize) {
  Stream* stream = FindByNumber(resize.stream);
  if (stream == nullptr || stream->kind != StreamKind::kConsole) return;
  stream->rows = resize.rows;
  stream->columns = resize.columns;
  if (!stream->master.valid()) return;
  const int error =
      ResizeConsole(stream->master.get(), resize.rows, resize.columns);
  if (error != 0) LogWarning("resize console: %s", ErrorName(error));
}

void Streams::RunMore() {
  std::vector<uint64_t> due;
  due.swap(more_);
  for (uint64_t serial : due) {
    const auto found = streams_.find(serial);
    if (found == streams_.end()) continue;
    found->second.queued = false;
    RunInput(&found->second);
    RunOutput(&found->second);
  }
}

void Streams::RunDue(int64_t now) {
  if (now >= retry_at_) {
    retry_at_ = kNever;
    for (auto& [serial, stream] : streams_) Queue(&stream);
  }
  if (now >= unread_check_at_) {
    unread_check_at_ = kNever;
    for (auto& [serial, stream] : streams_) {
      if (stream.unread_sink.valid()) CheckUnread(&stream);
    }
  }
  if (now < stall_at_) return;
  stall_at_ = kNever;
  for (auto& [serial, stream] : streams_) {
    if (now >= stream.output.stall_at()) RunOutput(&stream);
    stall_at_ = std::min(stall_at_, stream.output.stall_at());
  }
}

void Streams::LogState() const {
  for (const auto& [serial, stream] : streams_) {
    const link::StreamState state = StateOf(stream);
    LogInfo(
        "stream %llu: %llu bytes, %llu lost; spooled %llu, replayed %llu, in "
        "the spool %llu%s%s",
        Printable(state.stream), Printable(state.bytes),
        Printable(state.lost_bytes), Printable(state.spooled_bytes),
        Printable(state.replayed_bytes), Printable(state.spool_size),
        state.spool_error != 0 ? ", spool: " : "",
        state.spool_error != 0 ? ErrorName(state.spool_error) : "");
  }
}

}  // namespace hydra::monitor
