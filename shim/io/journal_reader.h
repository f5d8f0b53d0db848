// Reads what the monitor writes down of a container's output; see
// link/journal.h.
//
// Holds nothing open between two calls, so a reader that is slow, or has gone,
// keeps nothing. Any thread; one object belongs to one at a time.

#ifndef HYDRA_IO_JOURNAL_READER_H_
#define HYDRA_IO_JOURNAL_READER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/link/journal.h"

namespace hydra {

struct JournalEntry {
  uint64_t position = 0;
  int64_t time = 0;  // Unix nanoseconds.
  link::JournalTag tag = link::JournalTag::kStdout;
  std::string data;
  uint64_t lost = 0;  // With kLost: bytes that are missing here.
};

class JournalReader final {
 public:
  struct Batch {
    std::vector<JournalEntry> entries;
    // Where to go on.
    uint64_t next = 0;
    // What stood before the first entry, from the position that was asked for,
    // has been removed; so many bytes of the journal.
    uint64_t missed = 0;
    // There was no more when it was read.
    bool at_end = false;
  };

  explicit JournalReader(std::string directory)
      : directory_(std::move(directory)) {}

  // Whole records from `position` on, which is 0, the `next` of a batch or the
  // position of an entry; the last one makes `max_bytes` full. A position past
  // the end is the end. No directory: no entries. An errno's status, naming the
  // file, if one cannot be read. DataLoss: what stands there is no record.
  absl::StatusOr<Batch> Read(uint64_t position, size_t max_bytes) const;

  // The last `lines` lines, each with the bytes of its stream that end it; an
  // unfinished one counts. The first entry may be the end of a record only.
  absl::StatusOr<Batch> ReadLines(uint64_t lines, size_t max_bytes) const;
  // The last `bytes` bytes of the container's.
  absl::StatusOr<Batch> ReadBytes(uint64_t bytes, size_t max_bytes) const;

  // The position of the first record that is not older than `time`.
  absl::StatusOr<uint64_t> FindTime(int64_t time) const;
  // The position after the last record.
  absl::StatusOr<uint64_t> End() const;

 private:
  // The place in a record where a tail begins.
  struct Place {
    uint64_t position = 0;
    size_t skip = 0;  // Of its bytes.
  };
  // Asks `take_back` for each record, the last one first, how many of the bytes
  // at its front are not wanted. Stops where that is not 0, or if there are no
  // more.
  absl::StatusOr<Place> FindTail(
      const std::function<size_t(std::string_view data)>& take_back) const;
  absl::StatusOr<Batch> ReadFrom(const absl::StatusOr<Place>& place,
                                 size_t max_bytes) const;

  const std::string directory_;
};

}  // namespace hydra

#endif  // HYDRA_IO_JOURNAL_READER_H_
