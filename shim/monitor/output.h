// The output of a process on its way to the sink, by way of a spool on disk
// while the sink takes nothing.
//
//   kDirect    source -> sink (copy.h). A sink that is full and takes nothing
//              for the stall time, or that another stream goes to first, is
//              what begins:
//   kSpooling  source -> spool -> sink. All that is read goes to the spool's
//              end, and the sink is fed from its beginning, until the spool is
//              empty; so the order is that of the source, always.
//
// What is where, from the oldest byte to the newest: the sink, the spool,
// pending_, the source. When the spool is full, kBlock reads no more, so that
// the container waits, and kDropOldest drops whole lines from the spool's
// beginning. A spool that cannot be written is as a full one with kBlock, and
// is tried again every second: nothing that was read is lost by it.
//
// All state is in the members, descriptors included, and none of it in what is
// watched: a successor that has them goes on with Run(). Loop thread only.

#ifndef HYDRA_MONITOR_OUTPUT_H_
#define HYDRA_MONITOR_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "shim/link/protocol.h"
#include "shim/monitor/clock.h"
#include "shim/monitor/copy.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/spool.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Output {
 public:
  struct SpoolOptions {
    std::string directory;
    uint64_t max_bytes = 0;  // 0: no spool.
    link::SpoolPolicy policy = link::SpoolPolicy::kBlock;
    int64_t stall_time = 0;  // Nanoseconds.
  };

  // As Copy::Start. A sink that is a file has no spool: it never stalls.
  void Start(Poller* poller, EventTag tag, int source, int sink,
             const Copy::Options& options, SpoolOptions spool);
  void SetSource(int source) { direct_.SetSource(source); }
  // Nothing goes to the sink meanwhile: as if it were full, and had stalled.
  void SetBlocked(bool is_blocked) { is_blocked_ = is_blocked; }
  // As Copy's.
  void SetJournal(Journal* journal, link::JournalTag tag) {
    direct_.SetJournal(journal, tag);
  }

  // Copies what there is, a bounded amount; as Copy::Run. To be called at
  // events with the tag, and once stall_at() has passed.
  Copy::Result Run();

  // Unregisters what is watched, and gives up what is spooled.
  void Stop();

  // The sink has everything that could be read.
  bool is_drained() const {
    return !is_spooling_ && direct_.waits_for_source();
  }
  // When to Run though nothing happens (MonotonicNow()); kNever if not.
  int64_t stall_at() const { return stall_at_; }

  // In stream_state.cc; as Copy's.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  void Resume(Poller* poller, EventTag tag, int source, int sink);

  // Fills in the counters.
  void Describe(link::StreamState* state) const;

 private:
  enum class Step : uint8_t { kDone, kNoRoom, kNoData, kFull, kFailed };

  Copy::Result RunDirect();
  // kSourceEnd: there is nothing left, and the spool is closed.
  Copy::Result RunSpooling();
  void BeginSpooling(int64_t now);
  void EndSpooling();
  // From the spool, then from pending_, to the sink; kDone if all is written.
  Step Replay(size_t budget);
  // From the source to the spool; kDone if the budget is used up.
  Step Fill(size_t budget);
  Step FillBySplice(size_t* budget);
  Step FillByRead(size_t* budget);
  Step AppendPending();
  // Writes to the sink. The bytes that are done with, taken or lost; 0 if
  // there is no room.
  size_t WriteSink(const char* data, size_t size);
  void SpoolFailed(int error);
  bool Watch(int fd, uint32_t events, bool wanted, bool* watched);
  void Unwatch();

  Poller* poller_ = nullptr;
  EventTag tag_ = {};
  Copy direct_;
  SpoolOptions options_;
  Spool spool_;
  bool is_blocked_ = false;
  bool is_spooling_ = false;
  bool splices_ = false;  // From the source to the spool.
  bool source_ended_ = false;
  bool in_line_ = false;  // The last byte that the sink took ends no line.
  std::string pending_;   // Read, and not in the spool yet.
  int64_t stall_at_ = kNever;
  uint64_t spooled_bytes_ = 0;
  uint64_t replayed_bytes_ = 0;
  uint64_t late_bytes_ = 0;  // To the sink from pending_, past the spool.
  uint64_t lost_bytes_ = 0;  // Beside those of direct_.
  uint64_t dropped_bytes_ = 0;
  int sink_error_ = 0;  // The same.
  int spool_error_ = 0;
  bool source_watched_ = false;
  bool sink_watched_ = false;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_OUTPUT_H_
