// The container's stdio: copying that goes on whatever becomes of the head,
// of the engine, and of whoever reads.
//
// Loop thread only. A stream owns its descriptors. Each is run at its events
// for a bounded amount, so that none starves the others or the engine; a full
// sink stalls its own stream only.

#ifndef HYDRA_MONITOR_STREAM_H_
#define HYDRA_MONITOR_STREAM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/channel.h"
#include "shim/link/protocol.h"
#include "shim/monitor/clock.h"
#include "shim/monitor/console.h"
#include "shim/monitor/copy.h"
#include "shim/monitor/head_process.h"
#include "shim/monitor/journal.h"
#include "shim/monitor/output.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Streams {
 public:
  // All must outlive this.
  Streams(Poller* poller, HeadProcess* head, Journals* journals)
      : poller_(poller), head_(head), journals_(journals) {}

  // kStreamAdd. Descriptors that do not fit the flags make a stream that has
  // ended at once, with EINVAL for its sink error.
  void Add(link::Message message);
  // kStreamClose, kStreamStart, kStreamFinish, kStreamCloseStdin,
  // kStreamResize; of a stream that is not known they do nothing.
  void Close(uint64_t number);
  void Finish(uint64_t number);
  void StartHeld(uint64_t number);
  void CloseStdin(uint64_t number);
  void Resize(const link::StreamResize& resize);
  // kStreamJournal; a journal that is not known is none.
  void SetJournal(const link::StreamJournal& body);
  // No stream writes to the journal any more, which is about to be closed.
  void ForgetJournal(uint64_t journal);
  // kStreamWrite: its error.
  int Write(uint64_t number, std::string_view data);

  // An event of the stream with this serial number.
  void OnEvent(EventKind kind, uint64_t serial);

  // Runs what had more to do when its turn ended. To be called once per turn
  // of the loop, which must not wait while has_more().
  void RunMore();
  bool has_more() const { return !more_.empty(); }
  // When RunDue is due; kNever if nothing is.
  int64_t due_at() const {
    return std::min({retry_at_, stall_at_, unread_check_at_});
  }
  // Runs again what epoll had no room for and what a sink has stalled, and
  // looks for readers that have come late.
  void RunDue(int64_t now);

  // Everything known, for a new head. With what follows in stream_state.cc.
  void Replay(link::Writer* head) const;
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // Copies again after Load. A stream whose console cannot be watched ends.
  void Resume();

  void LogState() const;

  size_t size() const { return streams_.size(); }

 private:
  static constexpr int64_t kShortestCheck = kMillisecond;

  struct Stream {
    void Save(StateWriter* state) const;
    void Load(StateReader* state);

    uint64_t number = 0;
    uint64_t serial = 0;
    link::StreamKind kind = link::StreamKind::kOutput;
    bool ended = false;
    bool held = false;       // Until kStreamStart.
    bool finishing = false;  // After kStreamFinish.
    bool queued = false;     // In more_.
    int setup_error = 0;

    // kOutput: source to sink. kConsole: master to sink.
    // kInput: the same, of the other direction. kConsole: source to master.
    UniqueFd output_source;
    UniqueFd output_sink;
    // After the end: the write end of a FIFO that is not empty. With the last
    // who has it open its bytes would be gone.
    UniqueFd unread_sink;
    // Until it is looked at again, if it has a reader.
    int64_t unread_delay = kShortestCheck;
    Output output;
    UniqueFd input_source;
    UniqueFd input_sink;
    UniqueFd held_fifo;
    Copy input;
    bool input_ended = false;
    bool input_closing = false;  // Ends once what waits is written.

    uint64_t after = 0;    // The number of the stream that goes first, or 0.
    uint64_t journal = 0;  // 0: none.
    link::JournalTag journal_tag = link::JournalTag::kStdout;

    ConsoleReceiver receiver;
    UniqueFd master;
    bool had_master = false;
    // A size that came before the master; 0 rows and columns are none.
    uint16_t rows = 0;
    uint16_t columns = 0;
  };

  Stream* FindByNumber(uint64_t number);
  int SetUp(Stream* stream, link::Message* message);
  void SetUpConsole(Stream* stream);
  void RunOutput(Stream* stream);
  void RunInput(Stream* stream);
  void EndInput(Stream* stream);
  void End(Stream* stream);
  // Closes all it has, but for unread_sink.
  void Release(Stream* stream);
  // Those that came after the stream have the sink now.
  void LetFollow(uint64_t number);
  void KeepUnread(Stream* stream);
  // Closes unread_sink when the FIFO is empty.
  void CheckUnread(Stream* stream);
  static link::StreamState StateOf(const Stream& stream);
  void Tell(const Stream& stream, link::Writer* head) const;
  void RunLater(Stream* stream, Copy::Result result);
  void Queue(Stream* stream);

  Poller* poller_;
  HeadProcess* head_;
  Journals* journals_;
  std::map<uint64_t, Stream> streams_;  // By serial number.
  uint64_t next_serial_ = 1;
  std::vector<uint64_t> more_;
  int64_t retry_at_ = kNever;
  int64_t unread_check_at_ = kNever;
  int64_t stall_at_ = kNever;  // Not after the first of the streams'.
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_STREAM_H_
