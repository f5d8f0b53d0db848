#include "shim/grpc/log_cursor.h"

#include <chrono>
#include <utility>

#include "shim/grpc/instance_call.h"

namespace hydra {
namespace {

// More at once costs the monitor and the head more for each byte: memory that
// is not at hand (1 MiB: 1.4 and 1.8 times as much).
constexpr uint32_t kAnswerBytes = 64 << 10;
// Often enough that one question may get lost on a busy machine.
constexpr std::chrono::seconds kKeepInterval{20};

Async<void> AskInPassing(ttrpc::Client* client, v1::ReadLogRequest request) {
  const auto response = co_await CallInstance<v1::ReadLogResponse>(
      client, kInstanceService, "ReadLog", std::move(request), Future<bool>());
  (void)response;  // The next real question gets it, or its error.
}

}  // namespace

LogCursor::LogCursor(InstanceAccess instance, v1::LogStart start)
    : instance_(instance), start_(std::move(start)) {}

void LogCursor::KeepLog() {
  keep_ = instance_.loop->After(kKeepInterval, [this] {
    if (!is_asking_) {
      v1::ReadLogRequest request;
      *request.mutable_start() = start_;
      request.set_max_bytes(1);
      Detach(AskInPassing(instance_.client, std::move(request)));
    }
    KeepLog();
  });
}

Async<absl::StatusOr<v1::ReadLogResponse>> LogCursor::Next(bool wait,
                                                           Future<bool> stop) {
  v1::ReadLogRequest request;
  *request.mutable_start() = start_;
  request.set_max_bytes(kAnswerBytes);
  request.set_wait(wait);
  is_asking_ = true;
  absl::StatusOr<v1::ReadLogResponse> response =
      co_await CallInstance<v1::ReadLogResponse>(instance_.client,
                                                 kInstanceService, "ReadLog",
                                                 std::move(request), stop);
  is_asking_ = false;
  if (has_begun_ && absl::IsNotFound(response.status())) {
    co_return NotFound(
        "the container was removed, and its log with it: the last of its "
        "output may be missing");
  }
  if (!response.ok()) co_return response.status();
  start_.set_position(response->next());
  if (!std::exchange(has_begun_, true)) KeepLog();
  co_return response;
}

Async<absl::StatusOr<uint64_t>> LogCursor::FindEnd(Future<bool> stop) {
  v1::ReadLogRequest request;
  request.mutable_start()->set_tail_bytes(0);
  const auto response = co_await CallInstance<v1::ReadLogResponse>(
      instance_.client, kInstanceService, "ReadLog", std::move(request), stop);
  if (!response.ok()) co_return response.status();
  co_return response->next();
}

}  // namespace hydra
