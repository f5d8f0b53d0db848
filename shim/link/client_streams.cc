// Streams and journals of the monitor's.

#include <utility>

#include "shim/link/client.h"

namespace hydra {

using link::Type;

void MonitorClient::AddStream(uint64_t stream, link::StreamKind kind,
                              uint32_t flags, const std::vector<int>& fds,
                              const StreamSpool& spool, uint64_t after) {
  link::StreamAdd body = {};
  body.after = after;
  body.stream = stream;
  body.kind = static_cast<uint32_t>(kind);
  body.flags = flags;
  body.spool_max_bytes = spool.max_bytes;
  body.spool_policy = static_cast<uint32_t>(spool.policy);
  body.spool_stall_ms = spool.stall_ms;
  if (!streams_.contains(stream)) {
    link::StreamState state = {};
    state.stream = stream;
    state.kind = body.kind;
    streams_[stream] = state;
  }
  writer_.Add(Type::kStreamAdd, 0, 0, body, spool.directory, fds);
  Flush();
}

void MonitorClient::CloseStream(uint64_t stream) {
  streams_.erase(stream);
  writer_.Add(Type::kStreamClose, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::StartStream(uint64_t stream) {
  writer_.Add(Type::kStreamStart, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::FinishStream(uint64_t stream) {
  writer_.Add(Type::kStreamFinish, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::CloseStreamStdin(uint64_t stream) {
  writer_.Add(Type::kStreamCloseStdin, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::ResizeStream(uint64_t stream, uint16_t rows,
                                 uint16_t columns) {
  writer_.Add(Type::kStreamResize, 0, 0,
              link::StreamResize{stream, rows, columns, 0});
  Flush();
}

void MonitorClient::SetStreamJournal(uint64_t stream, uint64_t journal,
                                     link::JournalTag tag) {
  writer_.Add(
      Type::kStreamJournal, 0, 0,
      link::StreamJournal{stream, journal, static_cast<uint32_t>(tag), 0});
  Flush();
}

void MonitorClient::OpenJournal(uint64_t journal, const std::string& directory,
                                uint64_t max_bytes) {
  writer_.Add(Type::kJournalOpen, 0, 0, link::JournalOpen{journal, max_bytes},
              directory);
  Flush();
}

void MonitorClient::CloseJournal(uint64_t journal) {
  writer_.Add(Type::kJournalClose, 0, 0, link::JournalRef{journal});
  Flush();
}

Future<bool> MonitorClient::AskStreams() {
  const Future<bool> answered = streams_asked_.emplace_back();
  writer_.Add(Type::kStreamsAsk);
  Flush();
  return answered;
}

const link::StreamState* MonitorClient::FindStream(uint64_t stream) const {
  auto it = streams_.find(stream);
  return it == streams_.end() ? nullptr : &it->second;
}

}  // namespace hydra
