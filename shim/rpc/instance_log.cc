// hydra.v1.Instance: what the container writes and reads, and what has happened
// to it.

#include <errno.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "shim/base/status.h"
#include "shim/rpc/instance_service.h"

namespace hydra {
namespace {

constexpr uint32_t kDefaultBytes = 1 << 20;
// With its headers an answer stays below a frame's bound.
constexpr uint32_t kMostBytes = 3 << 20;
constexpr size_t kMostEvents = 256;
constexpr size_t kMostInput = 64 << 10;
// Between two tries to write to a process that reads too slowly.
constexpr std::chrono::milliseconds kInputPause{20};

absl::StatusOr<JournalReader::Batch> ReadStart(const JournalReader& reader,
                                               const v1::LogStart& start,
                                               size_t max_bytes) {
  switch (start.from_case()) {
    case v1::LogStart::kTailLines:
      return reader.ReadLines(start.tail_lines(), max_bytes);
    case v1::LogStart::kTailBytes:
      return reader.ReadBytes(start.tail_bytes(), max_bytes);
    case v1::LogStart::kSince: {
      HYDRA_ASSIGN_OR_RETURN(const uint64_t position,
                             reader.FindTime(start.since()));
      return reader.Read(position, max_bytes);
    }
    case v1::LogStart::kPosition:
      return reader.Read(start.position(), max_bytes);
    default: {
      HYDRA_ASSIGN_OR_RETURN(JournalReader::Batch batch,
                             reader.Read(0, max_bytes));
      batch.missed = 0;
      return batch;
    }
  }
}

void AddEntries(JournalReader::Batch batch, v1::ReadLogResponse* response) {
  if (batch.missed > 0) {
    v1::LogEntry* entry = response->add_entries();
    entry->set_lost(batch.missed);
    entry->set_missed(true);
  }
  for (JournalEntry& from : batch.entries) {
    v1::LogEntry* entry = response->add_entries();
    entry->set_position(from.position);
    entry->set_time(from.time);
    if (from.lost == 0) entry->set_stream(static_cast<v1::Stream>(from.tag));
    entry->set_lost(from.lost);
    entry->set_data(std::move(from.data));
  }
  response->set_next(batch.next);
}

// False if the call was cancelled before.
Async<bool> SetBefore(Future<bool> future, Future<bool> cancelled) {
  const Future<bool> done;
  const auto set = future.OnSet([done](const bool&) { done.Set(true); });
  const auto gone = cancelled.OnSet([done](const bool&) { done.Set(false); });
  const bool result = co_await done;
  co_return result;
}

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, "context canceled");
}

}  // namespace

bool InstanceService::LogHasEnded() {
  const state::Container* container = instance_.container();
  if (container == nullptr) return true;
  if (container->init().phase() != state::PHASE_STOPPED ||
      container->init().exit_pending() || container->has_replacement() ||
      container->native().next_start_at() != 0) {
    return false;
  }
  const auto live = instance_.live(container->init());
  return live->stdio == nullptr || live->stdio->drained();
}

InstanceService::Reply<v1::ReadLogResponse> InstanceService::ReadLog(
    Call call, v1::ReadLogRequest request) {
  if (instance_.container() == nullptr) {
    co_return NotFound("container not created: not found");
  }
  OutputLog& log = instance_.log();
  HYDRA_CO_RETURN_IF_ERROR(log.Use());
  const size_t max_bytes =
      request.max_bytes() == 0 ? kDefaultBytes
                               : std::min(request.max_bytes(), kMostBytes);
  const OutputLog::Follower follower(&log);
  while (true) {
    // Before it is read: what is written meanwhile is seen, or told.
    absl::StatusOr<Future<bool>> changed = log.Changed();
    if (request.wait() && !changed.ok()) co_return changed.status();
    const bool has_ended = LogHasEnded();
    absl::StatusOr<JournalReader::Batch> batch =
        ReadStart(log.reader(), request.start(), max_bytes);
    if (!batch.ok()) co_return batch.status();
    v1::ReadLogResponse response;
    response.set_ended(has_ended && batch->at_end);
    const state::Container* container = instance_.container();
    if (response.ended() && container != nullptr) {
      response.set_exit_status(container->init().exit_status());
    }
    const bool has_news = !batch->entries.empty() || batch->missed > 0;
    const uint64_t next = batch->next;
    AddEntries(*std::move(batch), &response);
    if (has_news || response.ended() || !request.wait()) co_return response;
    // From here on it is the end that matters, not how it was found.
    request.mutable_start()->set_position(next);
    const bool more = co_await SetBefore(*changed, call.cancelled);
    if (!more) co_return Cancelled();
  }
}

InstanceService::Reply<v1::ReadEventsResponse> InstanceService::ReadEvents(
    Call call, v1::ReadEventsRequest request) {
  const state::Record& record = instance_.record();
  while (true) {
    v1::ReadEventsResponse response;
    const uint64_t end = instance_.told_events();
    uint64_t oldest = end;
    for (const state::Event& event : record.history()) {
      oldest = std::min(oldest, event.sequence());
      if (event.sequence() < request.from() || event.sequence() >= end ||
          static_cast<size_t>(response.events_size()) >= kMostEvents) {
        continue;
      }
      v1::Event* to = response.add_events();
      to->set_sequence(event.sequence());
      to->set_time(event.timestamp());
      to->set_topic(event.topic());
      *to->mutable_payload() = event.payload();
    }
    const uint64_t from = request.from();
    if (from > 0 && from < oldest) response.set_missed(oldest - from);
    response.set_next(response.events_size() > 0
                          ? response.events().rbegin()->sequence() + 1
                          : std::max(from, end));
    if (response.events_size() > 0 || !request.wait()) co_return response;
    const Future<bool> more_events = instance_.more_events();
    const bool more = co_await SetBefore(more_events, call.cancelled);
    if (!more) co_return Cancelled();
  }
}

InstanceService::Reply<v1::WriteInputResponse> InstanceService::WriteInput(
    Call call, v1::WriteInputRequest request) {
  if (request.data().size() > kMostInput) {
    co_return InvalidArgument("input of " +
                              std::to_string(request.data().size()) +
                              " bytes: at most " + std::to_string(kMostInput));
  }
  const std::string name =
      request.exec_id().empty() ? "container " + instance_.config().id
                                : "exec " + request.exec_id();
  for (uint32_t step = 1; !request.data().empty(); ++step) {
    const state::Process* process = instance_.FindProcess(request.exec_id());
    if (process == nullptr) co_return NotFound(name + ": not found");
    if (process->stdin().empty()) {
      co_return FailedPrecondition(name + ": was made without an input");
    }
    const auto live = instance_.live(*process);
    if (live->stdio == nullptr) {
      co_return FailedPrecondition(name + ": has not been started, or has ended");
    }
    const int error =
        co_await live->stdio->Write(call.Key(step), request.data());
    if (error == 0) break;
    if (error != EAGAIN) {
      co_return FailedPrecondition(name + ": takes no input any more: " +
                                   strerror(error));
    }
    const Future<bool> pause;
    const auto timer = SetAfter(instance_.loop(), kInputPause, pause);
    const bool goes_on = co_await SetBefore(pause, call.cancelled);
    if (!goes_on) co_return Cancelled();
  }
  if (request.close()) {
    task::CloseIORequest close;
    close.set_id(instance_.config().id);
    close.set_exec_id(request.exec_id());
    close.set_stdin(true);
    const auto closed = co_await tasks_.CloseIO(call, close);
    if (!closed.ok()) co_return closed.status();
  }
  co_return v1::WriteInputResponse();
}

}  // namespace hydra
