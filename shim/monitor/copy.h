// Copies one way between two descriptors, without ever waiting.
//
// Pipe to pipe goes by splice(2), which moves pages; what the kernel does not
// splice goes by read(2) and write(2). Pipes through which much goes are made
// larger. Loop thread only.
//
// While it waits, exactly one of the two descriptors is watched: the source
// when there is nothing to read, the sink when there is no room. A watched
// descriptor of which nothing is wanted would report its hang-up for ever.

#ifndef HYDRA_MONITOR_COPY_H_
#define HYDRA_MONITOR_COPY_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "shim/base/unique_fd.h"
#include "shim/monitor/journal.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Copy {
 public:
  struct Options {
    // The owner watches the source, or the sink, edge-triggered, and calls Run
    // at its events: a console master, which is one descriptor for both ways.
    bool source_is_console = false;
    bool sink_is_console = false;
    // Never splice, and write at most 4 KiB at once: see kStreamSinkIsFile.
    bool sink_is_file = false;
    // A sink's error ends it. Otherwise what the sink does not take is counted
    // as lost, and reading goes on.
    bool ends_with_sink = false;
    // There is none, and what is read is lost to nobody.
    bool no_sink = false;
    // When its reader has gone it goes on as with no_sink.
    bool sink_may_leave = false;
  };

  enum class Result : uint8_t {
    kWaiting,    // For an event.
    kMore,       // Not done; Run again after others have had their turn.
    kRetry,      // epoll has no room; Run again in a while.
    kSourceEnd,  // End of file, or an error of the source.
    kSinkEnd,    // Only with ends_with_sink.
  };

  // Takes no descriptor: they are the caller's, non-blocking, and outlive the
  // last Run and Stop. `sink` -1 loses everything. With `source` -1 there is
  // only what Add brings.
  void Start(Poller* poller, EventTag tag, int source, int sink,
             const Options& options);

  // All but the descriptors, which are the caller's and are given to Resume
  // after Load; then Run is due.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  void Resume(Poller* poller, EventTag tag, int source, int sink);

  // For a source that comes after Start: a console master.
  void SetSource(int source) { source_ = source; }

  int source() const { return source_; }
  int sink() const { return sink_; }
  const Options& options() const { return options_; }

  // read(2) of a source: the count, 0 at its end, which any error is, or
  // -EAGAIN if there is nothing now.
  static ssize_t ReadSource(int source, bool is_console, char* buffer,
                            size_t size);

  // Copies what there is, at most kTurn bytes.
  Result Run();

  // Unregisters what is watched.
  void Stop();

  // What is read goes to `journal` as well, which outlives this; null: no more.
  void SetJournal(Journal* journal, link::JournalTag tag) {
    journal_ = journal;
    journal_tag_ = tag;
  }
  Journal* journal() const { return journal_; }
  link::JournalTag journal_tag() const { return journal_tag_; }

  // More for the sink, as if it had been read; then Run is due.
  void Add(std::string_view data) { pending_ += data; }
  size_t pending() const { return pending_.size(); }

  // As if the sink's reader had gone.
  void LeaveSink();

  // What has been read and not written; it is the caller's from then on.
  std::string TakePending() { return std::exchange(pending_, {}); }

  // What the last Run waits for: false with kWaiting means the sink.
  bool waits_for_source() const { return waits_for_source_; }

  uint64_t bytes() const { return bytes_; }
  uint64_t lost_bytes() const { return lost_bytes_; }
  int sink_error() const { return sink_error_; }

  static constexpr size_t kTurn = 1 << 20;

 private:
  enum class Step : uint8_t { kDone, kNoData, kNoRoom, kSourceEnd, kSinkEnd };

  Step Splice(size_t* budget);
  void WidenPipes();
  Step ReadOnce(size_t* budget);
  Step WritePending();
  // Writes; what was not taken and is not lost goes to pending_.
  Step Write(std::string_view data);
  Step OnSinkError(size_t size, int error);
  Step WhyNothing() const;
  Result WaitFor(bool source);

  Poller* poller_ = nullptr;
  EventTag tag_ = {};
  int source_ = -1;
  int sink_ = -1;
  Options options_;
  bool splices_ = false;
  bool widened_ = false;
  Journal* journal_ = nullptr;
  link::JournalTag journal_tag_ = link::JournalTag::kStdout;
  bool source_unwatchable_ = false;  // Always ready: a regular file.
  bool sink_unwatchable_ = false;
  bool waits_for_source_ = false;
  int watched_ = -1;
  std::string pending_;  // Read, and not written yet.
  uint64_t bytes_ = 0;
  uint64_t lost_bytes_ = 0;
  int sink_error_ = 0;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_COPY_H_
