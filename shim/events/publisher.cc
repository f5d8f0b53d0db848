#include "shim/events/publisher.h"

#include <errno.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "containerd/services/events/ttrpc.pb.h"
#include "shim/base/crash_point.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/ttrpc/frame.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra {
namespace {

using containerd::services::events::ttrpc::v1::ForwardRequest;
using std::chrono::milliseconds;

constexpr char kService[] = "containerd.services.events.ttrpc.v1.Events";
constexpr char kNamespaceKey[] = "containerd-namespace-ttrpc";
// Long, because sending again to an engine that is only slow is what brings an
// event twice.
constexpr milliseconds kCallTimeout{60'000};
constexpr milliseconds kFirstPause{10};
constexpr milliseconds kLongestPause{1000};
// The record is written as a whole, so not for each event of a long outbox;
// the monitor keeps the results meanwhile.
constexpr size_t kUnsavedPerSave = 16;
// When nothing can be saved, the monitor's memory is still not to grow.
constexpr size_t kMaxUnsaved = 256;

uint64_t TokenOf(uint64_t sequence) { return link::kEventToken | sequence; }

// FNV-1a. The time is left out: a head that comes to the same event again,
// because the record with it was never saved, has a later one.
uint32_t HashOf(const state::Event& event) {
  uint32_t hash = 2166136261u;
  for (const std::string* text : {&event.topic(), &event.payload().value()}) {
    for (const char c : *text) {
      hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    }
  }
  return hash;
}

std::string RequestOf(const std::string& container_namespace,
                      const state::Event& event) {
  ForwardRequest forward;
  auto* envelope = forward.mutable_envelope();
  envelope->mutable_timestamp()->set_seconds(event.timestamp() / 1'000'000'000);
  envelope->mutable_timestamp()->set_nanos(
      static_cast<int32_t>(event.timestamp() % 1'000'000'000));
  envelope->set_namespace_(container_namespace);
  envelope->set_topic(event.topic());
  *envelope->mutable_event() = event.payload();
  ::ttrpc::Request request;
  request.set_service(kService);
  request.set_method("Forward");
  forward.SerializeToString(request.mutable_payload());
  request.set_timeout_nano(std::chrono::nanoseconds(kCallTimeout).count());
  auto* metadata = request.add_metadata();
  metadata->set_key(kNamespaceKey);
  metadata->set_value(container_namespace);
  return request.SerializeAsString();
}

// OK: the engine has it. InvalidArgument: it never will.
absl::Status StatusOf(const Publication& publication) {
  if (publication.error != 0) {
    std::string text = Message(ErrnoError(publication.error, "send event"));
    if (publication.error == ENAMETOOLONG || publication.error == EINVAL) {
      return InvalidArgument(std::move(text));
    }
    if (publication.ambiguous) text += " (it may have come through)";
    return MakeError(absl::StatusCode::kUnavailable, std::move(text));
  }
  ::ttrpc::Response response;
  if (!response.ParseFromString(publication.response)) {
    return Internal("the engine's answer does not parse");
  }
  if (response.status().code() == 0) return absl::OkStatus();
  return MakeError(static_cast<absl::StatusCode>(response.status().code()),
                   response.status().message());
}

}  // namespace

Publisher::Publisher(
    EventLoop* loop, MonitorClient* monitor, Config config,
    const google::protobuf::RepeatedPtrField<state::Event>* outbox,
    Handlers handlers)
    : loop_(loop),
      monitor_(monitor),
      config_([](Config given) {
        std::string& address = given.engine_address;
        if (address.starts_with("unix://")) address.erase(0, 7);
        return given;
      }(std::move(config))),
      outbox_(outbox),
      handlers_(std::move(handlers)) {}

void Publisher::TakeOver(uint64_t next) {
  // The head before us died between saving and forgetting. What is above has
  // perhaps not been saved, and will then come up again.
  const uint64_t first = outbox_->empty() ? next : outbox_->Get(0).sequence();
  for (const uint64_t token : monitor_->PublicationTokens()) {
    if (token < TokenOf(first)) monitor_->ForgetToken(token);
  }
  Wake(next);
}

bool Publisher::MaySend() const {
  return !outbox_->empty() && outbox_->Get(0).sequence() < end_;
}

void Publisher::Wake(uint64_t end) {
  end_ = end;
  if (sending_ || !MaySend()) return;
  sending_ = true;
  Detach(Send());
}

Async<absl::Status> Publisher::Forward(OperationKey key, state::Event event) {
  std::string request = RequestOf(config_.container_namespace, event);
  if (request.size() > ttrpc::kMaxFrameData) {
    co_return InvalidArgument("longer than a frame");
  }
  const Publication publication = co_await monitor_->Publish(
      key, config_.engine_address, std::move(request), kCallTimeout);
  co_return StatusOf(publication);
}

void Publisher::Take(uint64_t sequence) {
  if (!config_.engine_address.empty()) unsaved_.push_back(TokenOf(sequence));
  handlers_.taken(sequence);
  if (outbox_->empty() || unsaved_.size() >= kUnsavedPerSave) handlers_.save();
  if (unsaved_.size() > kMaxUnsaved) {
    monitor_->ForgetToken(unsaved_.front());
    unsaved_.pop_front();
  }
}

void Publisher::OnSaved() {
  for (const uint64_t token : std::exchange(unsaved_, {})) {
    monitor_->ForgetToken(token);
  }
}

Async<void> Publisher::Send() {
  milliseconds pause = kFirstPause;
  bool reported = false;
  while (MaySend()) {
    const state::Event event = outbox_->Get(0);
    const OperationKey key{TokenOf(event.sequence()), HashOf(event)};
    HYDRA_CRASH_POINT("event.send ", event.topic());
    absl::Status status;
    if (!config_.engine_address.empty()) status = co_await Forward(key, event);
    HYDRA_CRASH_POINT("event.answered ", event.topic());
    if (status.ok() || absl::IsInvalidArgument(status)) {
      if (!status.ok()) {
        LogError("engine refuses event ", event.topic(),
                 ", given up: ", Message(status));
      }
      Take(event.sequence());
      pause = kFirstPause;
      reported = false;
      continue;
    }
    if (!std::exchange(reported, true)) {
      LogWarning("event ", event.topic(),
                 " is kept until the engine is back: ", Message(status));
    }
    // The same name again, for another try.
    monitor_->ForgetToken(key.token);
    Future<bool> paused;
    const auto timer = SetAfter(loop_, pause, paused);
    co_await paused;
    pause = std::min(pause * 2, kLongestPause);
  }
  sending_ = false;
  if (outbox_->empty()) std::exchange(drained_, {}).Set(true);
}

Async<bool> Publisher::Drain(milliseconds limit) {
  if (outbox_->empty()) co_return true;
  // Taken before: without an engine the outbox is empty when Wake() returns.
  const Future<bool> drained = drained_;
  Wake(end_);
  const auto timer = SetAfter(loop_, limit, drained);
  const bool done = co_await drained;
  // After a time-out the waiters of the next drain need one of their own.
  if (!done) drained_ = {};
  co_return done;
}

}  // namespace hydra
