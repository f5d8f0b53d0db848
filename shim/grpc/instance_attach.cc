// hydra.v1.Instance/Attach: the container's output to the client, and beside it
// what the client sends (attach_input.h).

#include <optional>
#include <string>
#include <utility>

#include "hydra/v1/instance.pb.h"
#include "hydra/v1/log.pb.h"
#include "shim/grpc/attach_input.h"
#include "shim/grpc/instance_call.h"
#include "shim/grpc/instance_streams.h"
#include "shim/grpc/log_cursor.h"

namespace hydra {
namespace {

// The messages to the client, one at a time: of the output and of the input.
// Shared, as a message may still be waiting when the stream has ended.
class Sender final {
 public:
  Sender(EventLoop* loop, std::shared_ptr<Stream> stream)
      : stream_(std::move(stream)), mutex_(loop) {}

  // False: nobody gets it.
  static Async<bool> Send(std::shared_ptr<Sender> sender,
                          v1::AttachResponse message) {
    const auto guard = co_await sender->mutex_.Lock();
    const bool taken =
        co_await sender->stream_->Write(message.SerializeAsString());
    co_return taken;
  }
  static Async<void> Refuse(std::shared_ptr<Sender> sender,
                            v1::AttachRefused refused) {
    v1::AttachResponse message;
    *message.mutable_refused() = std::move(refused);
    const bool taken = co_await Send(sender, std::move(message));
    (void)taken;  // Nobody is left to be told.
  }

 private:
  const std::shared_ptr<Stream> stream_;
  AsyncMutex mutex_;
};

Async<absl::StatusOr<v1::AttachStart>> ReadStart(
    std::shared_ptr<Stream> stream) {
  const absl::StatusOr<v1::AttachRequest> first =
      co_await ReadRequest<v1::AttachRequest>(stream);
  if (!first.ok()) co_return first.status();
  if (!first->has_start()) {
    co_return InvalidArgument("attach: the first message is to be `start`");
  }
  co_return first->start();
}

v1::LogStart LogStartOf(const v1::AttachStart& start) {
  if (start.has_from()) return start.from();
  v1::LogStart from;
  from.set_tail_bytes(start.replay_bytes());
  return from;
}

absl::Status TooSlow(uint64_t missed) {
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      "attach: this client has read too slowly: " + std::to_string(missed) +
          " bytes of the log were removed before they came to it; attach "
          "again, or read what is left with Logs");
}

// Sends what comes until the log has ended, or `stop` is set.
Async<absl::Status> SendOutput(LogCursor* cursor,
                               std::shared_ptr<Sender> sender,
                               v1::ReadLogResponse first, Future<bool> stop) {
  absl::StatusOr<v1::ReadLogResponse> response = std::move(first);
  for (bool is_first = true; response.ok(); is_first = false) {
    for (v1::LogEntry& entry : *response->mutable_entries()) {
      // A first one is no fault of the client's: it has said where to begin.
      const bool is_late = entry.missed() && !is_first;
      const uint64_t missed = entry.lost();
      v1::AttachResponse message;
      *message.mutable_output() = std::move(entry);
      const bool taken = co_await Sender::Send(sender, std::move(message));
      if (!taken) co_return ClientHasGone();
      if (is_late) co_return TooSlow(missed);
    }
    if (response->ended()) {
      if (!response->has_exit_status()) {
        co_return NotFound("the container was removed");
      }
      v1::AttachResponse message;
      message.mutable_ended()->set_exit_status(response->exit_status());
      const bool taken = co_await Sender::Send(sender, std::move(message));
      co_return taken ? absl::OkStatus() : ClientHasGone();
    }
    *response = v1::ReadLogResponse();  // It may wait for long.
    response = co_await cursor->Next(true, stop);
  }
  co_return response.status();
}

}  // namespace

Async<absl::Status> ServeAttach(InstanceAccess instance,
                                std::shared_ptr<Stream> stream) {
  const absl::StatusOr<v1::AttachStart> start = co_await ReadStart(stream);
  if (!start.ok()) co_return start.status();
  const absl::StatusOr<v1::InspectResponse> inspected =
      co_await CallInstance<v1::InspectResponse>(
          instance.client, kInstanceService, "Inspect", v1::InspectRequest(),
          stream->cancelled());
  if (!inspected.ok()) co_return inspected.status();
  LogCursor cursor(instance, LogStartOf(*start));
  absl::StatusOr<v1::ReadLogResponse> first =
      co_await cursor.Next(false, stream->cancelled());
  if (!first.ok()) co_return first.status();

  auto sender = std::make_shared<Sender>(instance.loop, stream);
  v1::AttachResponse started;
  started.mutable_started()->set_terminal(inspected->container().terminal());
  started.mutable_started()->set_input(inspected->container().input());
  const bool taken = co_await Sender::Send(sender, std::move(started));
  if (!taken) co_return ClientHasGone();

  // Ends the wait for output.
  const Future<bool> stop;
  const auto on_gone =
      stream->cancelled().OnSet([stop](const bool&) { stop.Set(true); });
  const auto failure = std::make_shared<absl::Status>();
  AttachInput::Config config;
  config.instance = instance;
  config.container_id = inspected->id();
  config.terminal = inspected->container().terminal();
  config.refuse = [sender](v1::AttachRefused refused) {
    return Sender::Refuse(sender, std::move(refused));
  };
  config.fail = [failure, stop](absl::Status status) {
    *failure = std::move(status);
    stop.Set(true);
  };
  const auto input = std::make_shared<AttachInput>(std::move(config), stream);
  input->Start();
  const absl::Status status =
      co_await SendOutput(&cursor, sender, *std::move(first), stop);
  input->Stop();
  co_return absl::IsCancelled(status) && !failure->ok() ? *failure : status;
}

}  // namespace hydra
