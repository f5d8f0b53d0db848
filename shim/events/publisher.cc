#include "shim/events/publisher.h"

#include <algorithm>
#include <utility>

#include "containerd/services/events/ttrpc.pb.h"
#include "shim/base/crash_point.h"
#include "shim/base/log.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

using containerd::services::events::ttrpc::v1::ForwardRequest;
using std::chrono::milliseconds;

constexpr char kService[] = "containerd.services.events.ttrpc.v1.Events";
constexpr milliseconds kCallTimeout{5000};
constexpr milliseconds kFirstPause{10};
constexpr milliseconds kLongestPause{1000};

}  // namespace

Publisher::Publisher(
    EventLoop* loop, const std::string& engine_ttrpc_address, std::string ns,
    const google::protobuf::RepeatedPtrField<state::Event>* outbox,
    std::function<void(uint64_t)> taken)
    : loop_(loop),
      has_engine_(!engine_ttrpc_address.empty()),
      namespace_(ns),
      client_(loop, engine_ttrpc_address, std::move(ns)),
      outbox_(outbox),
      taken_(std::move(taken)) {}

void Publisher::Wake() {
  if (sending_ || outbox_->empty()) return;
  sending_ = true;
  Detach(Send());
}

Async<absl::Status> Publisher::Forward(const state::Event& event) {
  ForwardRequest request;
  auto* envelope = request.mutable_envelope();
  envelope->mutable_timestamp()->set_seconds(event.timestamp() / 1'000'000'000);
  envelope->mutable_timestamp()->set_nanos(
      static_cast<int32_t>(event.timestamp() % 1'000'000'000));
  envelope->set_namespace_(namespace_);
  envelope->set_topic(event.topic());
  *envelope->mutable_event() = event.payload();
  const absl::StatusOr<std::string> reply = co_await client_.Call(
      kService, "Forward", request.SerializeAsString(), kCallTimeout);
  co_return reply.status();
}

Async<void> Publisher::Send() {
  milliseconds pause = kFirstPause;
  bool reported = false;
  while (!outbox_->empty()) {
    const state::Event event = outbox_->Get(0);
    HYDRA_CRASH_POINT("event.send ", event.topic());
    absl::Status status;
    if (has_engine_) status = co_await Forward(event);
    HYDRA_CRASH_POINT("event.answered ", event.topic());
    if (status.ok() || absl::IsInvalidArgument(status)) {
      if (!status.ok()) {
        LogError("engine refuses event ", event.topic(),
                 ", given up: ", Message(status));
      }
      taken_(event.sequence());
      pause = kFirstPause;
      reported = false;
      continue;
    }
    if (!std::exchange(reported, true)) {
      LogWarning("event ", event.topic(),
                 " is kept until the engine is back: ", Message(status));
    }
    Future<bool> paused;
    const auto timer = SetAfter(loop_, pause, paused);
    co_await paused;
    pause = std::min(pause * 2, kLongestPause);
  }
  sending_ = false;
  std::exchange(drained_, {}).Set(true);
}

Async<bool> Publisher::Drain(milliseconds limit) {
  if (outbox_->empty()) co_return true;
  // Taken before: without an engine the outbox is empty when Wake() returns.
  const Future<bool> drained = drained_;
  Wake();
  const auto timer = SetAfter(loop_, limit, drained);
  const bool done = co_await drained;
  // After a time-out the waiters of the next drain need one of their own.
  if (!done) drained_ = {};
  co_return done;
}

}  // namespace hydra
