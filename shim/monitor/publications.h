// Events on their way to the engine: kPublish, done once and remembered until
// it is forgotten, as any operation (see operations.h).
//
// Loop thread only. A publication that a head asked for goes on without it;
// the next head asks again under the same name, and gets that one's result.
// They go out one at a time, in the order of their names, which is the order
// of the events.
//
// What is kept: the request until its end, then the answer, which is a few
// bytes. Heads forget in batches; see events/publisher.h.

#ifndef HYDRA_MONITOR_PUBLICATIONS_H_
#define HYDRA_MONITOR_PUBLICATIONS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "shim/link/channel.h"
#include "shim/link/protocol.h"
#include "shim/monitor/clock.h"
#include "shim/monitor/engine.h"
#include "shim/monitor/head_process.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Publications {
 public:
  // Both must outlive this.
  Publications(Poller* poller, HeadProcess* head)
      : head_(head), engine_(poller) {}

  // Does what kPublish asks, unless it is known. The head is told the result
  // when there is one. A body that makes no sense has the result EINVAL.
  void Publish(const link::Message& message);

  // Forgets those of `token`. One that is under way may still be heard.
  void Forget(uint64_t token);

  // The connection to the engine is ready.
  void OnEvent(uint64_t id);

  // When the one under way has had its time, on the monotonic clock.
  int64_t deadline() const { return deadline_; }
  void OnDeadline();

  // Every result, for a new head. What is under way it will ask for.
  void Replay(link::Writer* head) const;

  // In publications_state.cc. Everything is kept, the one under way as well.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // Goes on with it after Load.
  void Resume();

  size_t size() const { return known_.size(); }

 private:
  // Token and step.
  using Name = std::pair<uint64_t, uint32_t>;

  struct Known {
    bool done = false;
    uint32_t timeout_ms = 0;
    link::Published result = {};
    std::string address;
    std::string payload;  // The request; once done, the response.
  };

  void StartNext();
  void EndCurrent(Engine::Answer answer);
  void End(const Name& name, Known* known, Engine::Answer answer);
  static void Tell(const Name& name, const Known& known, link::Writer* head);

  HeadProcess* head_;
  Engine engine_;
  std::map<Name, Known> known_;
  Name current_;  // While engine_.calling().
  int64_t deadline_ = kNever;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_PUBLICATIONS_H_
