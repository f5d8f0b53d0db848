// Sends the instance's events to the engine, in order, each until the engine
// has taken it.
//
// Order per container is law: create < start < exit < delete; exec-added <
// exec-started < the exec's exit < the init's exit. It is that of the outbox,
// and one event is under way at a time. No request ever waits for an event.
//
// An engine that is away is tried again, at most a second apart, for as long
// as it takes. Only an event that the engine calls invalid is given up, with
// an error in the log: it would stand before all others for ever.
//
// Loop thread only.

#ifndef HYDRA_EVENTS_PUBLISHER_H_
#define HYDRA_EVENTS_PUBLISHER_H_

#include <chrono>
#include <functional>
#include <string>

#include "hydra/state.pb.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/ttrpc/client.h"

namespace hydra {

class Publisher final {
 public:
  // `outbox` is read from its front. `taken(sequence)` is called for each event
  // that needs to be sent no more; the callee removes it.
  Publisher(EventLoop* loop, const std::string& engine_ttrpc_address,
            std::string ns,
            const google::protobuf::RepeatedPtrField<state::Event>* outbox,
            std::function<void(uint64_t sequence)> taken);
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  // There is something in the outbox. With no engine it is taken at once.
  void Wake();

  // Waits until the outbox is empty, at most `limit`.
  Async<bool> Drain(std::chrono::milliseconds limit);

 private:
  Async<void> Send();
  Async<absl::Status> Forward(const state::Event& event);

  EventLoop* const loop_;
  const bool has_engine_;
  const std::string namespace_;
  ttrpc::Client client_;
  const google::protobuf::RepeatedPtrField<state::Event>* const outbox_;
  const std::function<void(uint64_t)> taken_;
  bool sending_ = false;
  Future<bool> drained_;
};

}  // namespace hydra

#endif  // HYDRA_EVENTS_PUBLISHER_H_
