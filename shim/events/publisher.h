// Sends the instance's events to the engine: each once, in order, across
// deaths of the head at any instruction.
//
// Order per container is law: create < start < exit < delete; exec-added <
// exec-started < the exec's exit < the init's exit. It is that of the outbox,
// and one event is under way at a time. No request ever waits for an event.
//
// Once
//   The monitor holds the connection, and sends an event as an operation whose
//   name is the event's own: its sequence number as the token, a hash of what
//   it says as the step. A head that finds an event at the front of its outbox
//   asks for it under that name, and if a head before it had it sent, gets
//   that result. The name is forgotten when the record without the event is
//   saved. So an event comes twice only if the engine dies, or is silent for a
//   minute, after it has read the event and before it has answered; and where
//   a record that could not be saved was lost with its head, whose successor
//   may number the same events otherwise.
//
// An engine that is away is tried again, at most a second apart, for as long
// as it takes. Only an event that the engine calls invalid is given up, with
// an error in the log: it would stand before all others for ever. What the
// outbox holds meanwhile is bounded, by outbox.h.
//
// Loop thread only.

#ifndef HYDRA_EVENTS_PUBLISHER_H_
#define HYDRA_EVENTS_PUBLISHER_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "hydra/state.pb.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/link/client.h"

namespace hydra {

class Publisher final {
 public:
  struct Config {
    std::string engine_address;  // Of its ttrpc socket; empty: no engine.
    std::string container_namespace;
  };
  struct Handlers {
    // The event needs to be sent no more, and is to be removed from the outbox,
    // whose first it is.
    std::function<void(uint64_t sequence)> taken;
    // Enough was taken: the record is to be saved, and OnSaved() called.
    std::function<void()> save;
  };

  // `outbox` is read from its front.
  Publisher(EventLoop* loop, MonitorClient* monitor, Config config,
            const google::protobuf::RepeatedPtrField<state::Event>* outbox,
            Handlers handlers);
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // The outbox is that of a head before us, read from the record; `next` is
  // the next event's number.
  void TakeOver(uint64_t next);
  // Events below `end` may be sent: they have been saved, or cannot be. With
  // no engine they are taken at once.
  void Wake(uint64_t end);
  // The record is saved, without what was taken.
  void OnSaved();

  // Waits until the outbox is empty, at most `limit`.
  Async<bool> Drain(std::chrono::milliseconds limit);

 private:
  bool MaySend() const;
  Async<void> Send();
  Async<absl::Status> Forward(OperationKey key, state::Event event);
  void Take(uint64_t sequence);

  EventLoop* const loop_;
  MonitorClient* const monitor_;
  const Config config_;
  const google::protobuf::RepeatedPtrField<state::Event>* const outbox_;
  const Handlers handlers_;
  uint64_t end_ = 0;
  bool sending_ = false;
  // Tokens of events that were taken, and are in the record on disk.
  std::deque<uint64_t> unsaved_;
  Future<bool> drained_;
};

}  // namespace hydra

#endif  // HYDRA_EVENTS_PUBLISHER_H_
