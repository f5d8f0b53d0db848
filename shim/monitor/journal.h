// Writes a journal (link/journal.h).
//
// Never waits for anything but the page cache, and never fails its caller: what
// cannot be written is counted, and a record says how much it was once there is
// room again. After a failure it is tried once a second. Loop thread only.

#ifndef HYDRA_MONITOR_JOURNAL_H_
#define HYDRA_MONITOR_JOURNAL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "shim/link/channel.h"
#include "shim/link/journal.h"
#include "shim/link/protocol.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Journal {
 public:
  // In `directory`, which is made when there is something to write (0700, its
  // parents 0755); at most `max_bytes` on disk. Goes on after what is there.
  void Open(std::string directory, uint64_t max_bytes);

  void Append(link::JournalTag tag, std::string_view data, int64_t time);

  // In bytes of the containers' own.
  uint64_t written() const { return written_; }
  uint64_t lost() const { return lost_; }
  // errno of the last failure, or 0.
  int error() const { return error_; }

  void Save(StateWriter* state) const;
  void Load(StateReader* state);

 private:
  bool BeginSegment(int64_t time);
  bool WriteRecord(link::JournalTag tag, std::string_view data, int64_t time);
  void Failed(int error, int64_t time);
  std::string PathOf(uint64_t position) const;
  uint64_t end() const { return segments_.empty() ? 0 : begin_ + size_; }

  std::string directory_;
  uint64_t max_bytes_ = 0;
  std::deque<uint64_t> segments_;  // Their names, oldest first.
  UniqueFd file_;                  // The last of them.
  uint64_t begin_ = 0;             // Its position.
  uint64_t size_ = 0;              // Of its whole records.
  uint64_t written_ = 0;
  uint64_t lost_ = 0;
  uint64_t lost_untold_ = 0;  // No record says so yet.
  int error_ = 0;
  int64_t retry_at_ = 0;  // After a failure.
};

// All journals of the instance, by the numbers that heads give them.
class Journals {
 public:
  // kJournalOpen, kJournalClose. Opening a known one does nothing.
  void Open(const link::Message& message);
  void Close(uint64_t number) { journals_.erase(number); }
  // Null for a number that is not known. Stays here, until it is closed.
  Journal* Find(uint64_t number);

  // Adds up what all of them tell.
  void Describe(link::Status* status) const;

  void Save(StateWriter* state) const;
  void Load(StateReader* state);

 private:
  std::map<uint64_t, std::unique_ptr<Journal>> journals_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_JOURNAL_H_
