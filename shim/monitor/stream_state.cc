// What is told of the streams: to a head, and to a successor (see state.h).

#include "shim/monitor/copy.h"
#include "shim/monitor/log.h"
#include "shim/monitor/output.h"
#include "shim/monitor/stream.h"

namespace hydra::monitor {

void Copy::Save(StateWriter* state) const {
  state->Number(options_.source_is_console);
  state->Number(options_.sink_is_console);
  state->Number(options_.sink_is_file);
  state->Number(options_.ends_with_sink);
  state->Number(splices_);
  state->Number(widened_);
  state->Bytes(pending_);
  state->Number(bytes_);
  state->Number(lost_bytes_);
  state->Signed(sink_error_);
  state->Number(options_.no_sink);
  state->Number(options_.sink_may_leave);
}

void Copy::Load(StateReader* state) {
  options_.source_is_console = state->Number() != 0;
  options_.sink_is_console = state->Number() != 0;
  options_.sink_is_file = state->Number() != 0;
  options_.ends_with_sink = state->Number() != 0;
  splices_ = state->Number() != 0;
  widened_ = state->Number() != 0;
  pending_ = state->Bytes();
  bytes_ = state->Number();
  lost_bytes_ = state->Number();
  sink_error_ = state->As<int>();
  options_.no_sink = state->Number() != 0;
  options_.sink_may_leave = state->Number() != 0;
}

void Copy::Resume(Poller* poller, EventTag tag, int source, int sink) {
  poller_ = poller;
  tag_ = tag;
  source_ = source;
  sink_ = sink;
}

void Spool::Save(StateWriter* state) const {
  state->Fd(file_);
  state->Number(capacity_);
  state->Number(read_);
  state->Number(written_);
  state->Number(released_);
}

void Spool::Load(StateReader* state) {
  file_ = state->Fd();
  capacity_ = state->Number();
  read_ = state->Number();
  written_ = state->Number();
  released_ = state->Number();
  if (released_ > read_ || read_ > written_ || written_ - read_ > capacity_) {
    state->Fail();
  }
}

// What is watched is not kept, nor since when the sink has stalled: Run() finds
// both again.
void Output::Save(StateWriter* state) const {
  state->BeginRecord();
  direct_.Save(state);
  state->EndRecord();
  state->BeginRecord();
  spool_.Save(state);
  state->EndRecord();
  state->Bytes(options_.directory);
  state->Number(options_.max_bytes);
  state->Number(static_cast<uint64_t>(options_.policy));
  state->Signed(options_.stall_time);
  state->Number(is_spooling_);
  state->Number(splices_);
  state->Number(source_ended_);
  state->Number(in_line_);
  state->Bytes(pending_);
  state->Number(spooled_bytes_);
  state->Number(replayed_bytes_);
  state->Number(late_bytes_);
  state->Number(lost_bytes_);
  state->Number(dropped_bytes_);
  state->Signed(sink_error_);
  state->Signed(spool_error_);
}

void Output::Load(StateReader* state) {
  if (state->BeginRecord()) {
    direct_.Load(state);
    state->EndRecord();
  }
  if (state->BeginRecord()) {
    spool_.Load(state);
    state->EndRecord();
  }
  options_.directory = state->Bytes();
  options_.max_bytes = state->Number();
  options_.policy = state->As<link::SpoolPolicy>();
  options_.stall_time = state->Signed();
  is_spooling_ = state->Number() != 0;
  splices_ = state->Number() != 0;
  source_ended_ = state->Number() != 0;
  in_line_ = state->Number() != 0;
  pending_ = state->Bytes();
  spooled_bytes_ = state->Number();
  replayed_bytes_ = state->Number();
  late_bytes_ = state->Number();
  lost_bytes_ = state->Number();
  dropped_bytes_ = state->Number();
  sink_error_ = state->As<int>();
  spool_error_ = state->As<int>();
  // A ring of no size has no places.
  if (is_spooling_ && spool_.size() + spool_.room() == 0) state->Fail();
}

void Output::Resume(Poller* poller, EventTag tag, int source, int sink) {
  poller_ = poller;
  tag_ = tag;
  direct_.Resume(poller, tag, source, sink);
}

void Streams::Stream::Save(StateWriter* state) const {
  state->Number(number);
  state->Number(static_cast<uint64_t>(kind));
  state->Number(ended);
  state->Number(held);
  state->Number(finishing);
  state->Signed(setup_error);
  state->Fd(output_source);
  state->Fd(output_sink);
  state->Fd(unread_sink);
  state->Fd(input_source);
  state->Fd(input_sink);
  state->Fd(held_fifo);
  state->Number(input_ended);
  state->Fd(master);
  state->Number(had_master);
  state->Number(rows);
  state->Number(columns);
  receiver.Save(state);
  // Records of their own, as they will grow.
  state->BeginRecord();
  output.Save(state);
  state->EndRecord();
  state->BeginRecord();
  input.Save(state);
  state->EndRecord();
  state->Number(input_closing);
  state->Number(journal);
  state->Number(static_cast<uint64_t>(journal_tag));
  state->Number(after);
}

void Streams::Stream::Load(StateReader* state) {
  number = state->Number();
  kind = state->As<link::StreamKind>();
  ended = state->Number() != 0;
  held = state->Number() != 0;
  finishing = state->Number() != 0;
  setup_error = state->As<int>();
  output_source = state->Fd();
  output_sink = state->Fd();
  unread_sink = state->Fd();
  input_source = state->Fd();
  input_sink = state->Fd();
  held_fifo = state->Fd();
  input_ended = state->Number() != 0;
  master = state->Fd();
  had_master = state->Number() != 0;
  rows = state->As<uint16_t>();
  columns = state->As<uint16_t>();
  receiver.Load(state);
  if (state->BeginRecord()) {
    output.Load(state);
    state->EndRecord();
  }
  if (state->BeginRecord()) {
    input.Load(state);
    state->EndRecord();
  }
  input_closing = state->Number() != 0;
  journal = state->Number();
  journal_tag = state->As<link::JournalTag>();
  after = state->Number();
  output.SetBlocked(after != 0);
}

void Streams::Save(StateWriter* state) const {
  state->Number(next_serial_);
  state->BeginList();
  for (const auto& [serial, stream] : streams_) {
    state->BeginRecord();
    state->Number(serial);
    stream.Save(state);
    state->EndRecord();
  }
  state->EndList();
}

void Streams::Load(StateReader* state) {
  next_serial_ = state->Number();
  state->BeginList();
  while (state->BeginRecord()) {
    const uint64_t serial = state->Number();
    if (serial >= next_serial_) state->Fail();
    Stream& stream = streams_[serial];
    stream.serial = serial;
    stream.Load(state);
    state->EndRecord();
  }
  state->EndList();
}

void Streams::Resume() {
  for (auto& [serial, stream] : streams_) {
    if (stream.unread_sink.valid()) CheckUnread(&stream);
    if (stream.ended) continue;
    const bool is_console = stream.kind == link::StreamKind::kConsole;
    const int master = stream.master.get();
    stream.output.SetJournal(journals_->Find(stream.journal),
                             stream.journal_tag);
    stream.output.Resume(poller_, {EventKind::kStreamOutput, serial},
                         is_console ? master : stream.output_source.get(),
                         stream.output_sink.get());
    stream.input.Resume(poller_, {EventKind::kStreamInput, serial},
                        stream.input_source.get(),
                        is_console ? master : stream.input_sink.get());
    int error =
        stream.receiver.Resume(poller_, {EventKind::kConsoleSetup, serial});
    if (stream.master.valid() && error == 0) {
      error = poller_->Add(master, EPOLLIN | EPOLLOUT | EPOLLET,
                           {EventKind::kConsoleMaster, serial});
    }
    if (error != 0) {
      LogError("watch console: %s", ErrorName(error));
      stream.setup_error = error;
      End(&stream);
      continue;
    }
    Queue(&stream);
  }
}

link::StreamState Streams::StateOf(const Stream& stream) {
  link::StreamState state = {};
  state.stream = stream.number;
  state.kind = static_cast<uint32_t>(stream.kind);
  state.ended = stream.ended ? 1 : 0;
  state.has_console = stream.had_master ? 1 : 0;
  if (stream.kind == link::StreamKind::kInput) {
    state.bytes = stream.input.bytes();
    state.lost_bytes = stream.input.lost_bytes();
    state.sink_error = stream.input.sink_error();
  } else {
    stream.output.Describe(&state);
  }
  if (stream.setup_error != 0) state.sink_error = stream.setup_error;
  return state;
}

void Streams::Tell(const Stream& stream, link::Writer* head) const {
  head->Add(link::Type::kStream, 0, 0, StateOf(stream));
}

void Streams::Replay(link::Writer* head) const {
  for (const auto& [serial, stream] : streams_) Tell(stream, head);
}

}  // namespace hydra::monitor
