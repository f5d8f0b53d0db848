// The operations that heads asked for, each done once and its result kept
// until its token is forgotten: what makes a head replaceable at any
// instruction. See "The life of a request" in link/protocol.h.
//
// Loop thread only. Children that were spawned are reaped by the loop, which
// tells of each exit here.

#ifndef HYDRA_MONITOR_OPERATIONS_H_
#define HYDRA_MONITOR_OPERATIONS_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "shim/base/unique_fd.h"
#include "shim/link/channel.h"
#include "shim/link/protocol.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Processes;

class Operations {
 public:
  // Both must outlive this.
  Operations(const Processes* processes, const rlimit* child_file_limit)
      : processes_(processes), child_file_limit_(child_file_limit) {}

  // Does what kSpawn or kSignal asks, unless it is known, and tells `head` the
  // result. A body or tail that makes no sense has the result EINVAL.
  void Spawn(link::Message message, link::Writer* head);
  void Signal(const link::Message& message, link::Writer* head);

  // An operation that takes its time (kUpgrade): known from Begin on, its
  // result told with Finish and not before. Begin is false if it was known;
  // then its result, if there is one, has been told again. Finish of one that
  // has been forgotten does nothing; `head` may be null.
  bool Begin(const link::Message& message, link::OperationKind kind,
             link::Writer* head);
  void Finish(uint64_t token, uint32_t step, int error, int64_t paused,
              std::string text, link::Writer* head);

  // True while a kSpawnAdopts operation is known.
  bool adopting() const { return adopting_ > 0; }

  // Forgets all operations of `token`. What they started runs on.
  void Forget(uint64_t token);

  // Takes the exit of `pid`; false if no operation started it. `head` may be
  // null.
  bool OnExit(pid_t pid, int wait_status, int64_t exited_at,
              link::Writer* head);

  void Save(StateWriter* state) const;
  void Load(StateReader* state);

  // Everything known, for a new head.
  void Replay(link::Writer* head) const;

  size_t size() const { return known_.size(); }

 private:
  // Token and step.
  using Name = std::pair<uint64_t, uint32_t>;

  struct Known {
    link::Operation result = {};
    uint32_t flags = 0;  // SpawnFlags.
    int32_t wait_status = 0;
    int64_t exited_at = 0;
    UniqueFd kept;         // With kSpawnKeepsFd.
    bool pending = false;  // Between Begin and Finish.
    std::string text;      // The tail of kOperation.
  };

  // Tells the result again if the operation of `message` is known.
  bool TellKnown(const link::Message& message, link::Writer* head) const;
  int StartProgram(const link::Message& message, pid_t* pid) const;
  int SendSignal(const link::Signal& signal) const;
  static void TellExit(const Name& name, const Known& known,
                       link::Writer* head);

  const Processes* processes_;
  const rlimit* child_file_limit_;
  std::map<Name, Known> known_;
  int adopting_ = 0;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_OPERATIONS_H_
