// hydra.v1.Instance/Logs and Events.

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "hydra/v1/events.pb.h"
#include "hydra/v1/log.pb.h"
#include "shim/grpc/instance_call.h"
#include "shim/grpc/instance_streams.h"
#include "shim/grpc/log_cursor.h"

namespace hydra {
namespace {

using std::chrono::nanoseconds;

constexpr char kMissedTopic[] = "/hydra/missed";
// A clock that is set is noticed so much later at most.
constexpr std::chrono::minutes kLongestWait{1};

nanoseconds UnixNow() {
  return std::chrono::system_clock::now().time_since_epoch();
}

bool IsPast(int64_t time) { return time != 0 && UnixNow().count() >= time; }

bool IsWanted(const v1::LogsRequest& request, const v1::LogEntry& entry) {
  return request.stream() == v1::STREAM_UNSPECIFIED ||
         request.stream() == entry.stream() ||
         // What is missing may have been of any stream.
         entry.stream() == v1::STREAM_UNSPECIFIED;
}

absl::Status Check(const v1::LogsRequest& request) {
  if (v1::Stream_IsValid(request.stream())) return absl::OkStatus();
  return InvalidArgument("stream " + std::to_string(request.stream()) +
                         ": there is none of that number");
}

// Waits for what comes next until `until`, if that is not 0; by then it may be
// nothing.
Async<absl::StatusOr<v1::ReadLogResponse>> WaitForNext(InstanceAccess instance,
                                                       LogCursor* cursor,
                                                       int64_t until,
                                                       Future<bool> cancelled) {
  const Future<bool> stop;
  const auto on_gone = cancelled.OnSet([stop](const bool&) { stop.Set(true); });
  EventLoop::Registration at_end;
  if (until != 0) {
    const nanoseconds wait = nanoseconds(until) - UnixNow();
    at_end = instance.loop->After(
        std::clamp<nanoseconds>(wait, nanoseconds(0), kLongestWait),
        [stop] { stop.Set(true); });
  }
  absl::StatusOr<v1::ReadLogResponse> response =
      co_await cursor->Next(true, stop);
  if (absl::IsCancelled(response.status()) && !cancelled.is_set()) {
    co_return v1::ReadLogResponse();
  }
  co_return response;
}

}  // namespace

Async<absl::Status> ServeLogs(InstanceAccess instance,
                              std::shared_ptr<Stream> stream) {
  absl::StatusOr<v1::LogsRequest> asked =
      co_await ReadRequest<v1::LogsRequest>(stream);
  if (!asked.ok()) co_return asked.status();
  const v1::LogsRequest request = *std::move(asked);
  HYDRA_CO_RETURN_IF_ERROR(Check(request));
  LogCursor cursor(instance, request.start());
  // Where it ends without `follow`: a container that goes on writing must not
  // keep it from ending.
  std::optional<uint64_t> end;
  while (true) {
    const bool waits = request.follow() && !IsPast(request.until());
    absl::StatusOr<v1::ReadLogResponse> response;
    if (waits) {
      response = co_await WaitForNext(instance, &cursor, request.until(),
                                      stream->cancelled());
    } else {
      response = co_await cursor.Next(false, stream->cancelled());
    }
    if (!response.ok()) co_return response.status();
    if (!request.follow() && !end.has_value()) {
      const absl::StatusOr<uint64_t> found =
          co_await cursor.FindEnd(stream->cancelled());
      if (!found.ok()) co_return found.status();
      end = *found;
    }
    for (const v1::LogEntry& entry : response->entries()) {
      if (request.until() != 0 && entry.time() > request.until()) {
        co_return absl::OkStatus();
      }
      if (!IsWanted(request, entry)) continue;
      const bool taken = co_await stream->Write(entry.SerializeAsString());
      if (!taken) co_return ClientHasGone();
    }
    const bool is_at_end = end.has_value() && response->next() >= *end;
    const bool has_all = !waits && response->entries().empty();
    if (response->ended() || is_at_end || has_all) co_return absl::OkStatus();
  }
}

Async<absl::Status> ServeEvents(InstanceAccess instance,
                                std::shared_ptr<Stream> stream) {
  absl::StatusOr<v1::EventsRequest> asked =
      co_await ReadRequest<v1::EventsRequest>(stream);
  if (!asked.ok()) co_return asked.status();
  v1::ReadEventsRequest request;
  request.set_from(asked->from());
  request.set_wait(asked->follow());
  while (true) {
    absl::StatusOr<v1::ReadEventsResponse> response =
        co_await CallInstance<v1::ReadEventsResponse>(
            instance.client, kInstanceService, "ReadEvents", request,
            stream->cancelled());
    if (!response.ok()) co_return response.status();
    if (response->missed() > 0) {
      v1::Missed missed;
      missed.set_count(response->missed());
      v1::Event event;
      event.set_sequence(request.from() + response->missed() - 1);
      event.set_topic(kMissedTopic);
      event.mutable_payload()->set_type_url(missed.GetTypeName());
      missed.SerializeToString(event.mutable_payload()->mutable_value());
      const bool taken = co_await stream->Write(event.SerializeAsString());
      if (!taken) co_return ClientHasGone();
    }
    for (const v1::Event& event : response->events()) {
      const bool taken = co_await stream->Write(event.SerializeAsString());
      if (!taken) co_return ClientHasGone();
    }
    if (!request.wait() && response->events().empty()) {
      co_return absl::OkStatus();
    }
    request.set_from(response->next());
  }
}

}  // namespace hydra
