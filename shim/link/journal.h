// The journal: what a container has written, kept on disk. The monitor writes
// it, the head reads it, and neither waits for the other.
//
// A journal is an endless sequence of records, of which a directory holds the
// last part, in files called *segments*. A byte's *position* counts from the
// journal's beginning; a segment is named by the position of its first byte, in
// 16 hex digits, and begins with a record. New segments are begun, and the
// oldest removed, so that all of them together have the journal's bound.
//
// A record is a JournalRecord and then `size` bytes. It is written with one
// call; one that is cut off, by a full disk or by the monitor's death, stands
// only at the end of the last segment, is no record, and is overwritten by the
// next. A reader that finds less than a whole record there has found the end
// for now, and inotify(7) tells it when to look again. A segment that a reader
// has open stays readable though it has been removed.
//
// Nothing is forced to the disk: a journal outlives processes, not machines.
//
// Libc only.

#ifndef HYDRA_LINK_JOURNAL_H_
#define HYDRA_LINK_JOURNAL_H_

#include <cstddef>
#include <cstdint>

namespace hydra::link {

inline constexpr uint32_t kJournalMagic = 0x4a415248;  // "HRAJ"
// Of the bytes of one record.
inline constexpr uint32_t kJournalMaxRecord = 64 << 10;
// The digits of a segment's name.
inline constexpr size_t kJournalNameSize = 16;
// No journal is smaller than this, and so no segment smaller than a record.
inline constexpr uint64_t kJournalMinBytes = 1 << 20;

enum class JournalTag : uint32_t {
  kStdout = 1,
  kStderr = 2,
  kConsole = 3,  // Of a terminal, which knows no difference.
  // Here bytes are missing: uint64_t, how many could not be written.
  kLost = 100,
};

struct JournalRecord {
  uint32_t magic;
  uint32_t tag;   // JournalTag; a reader passes over one that it does not know.
  int64_t time;   // Unix nanoseconds, when the bytes were read.
  uint32_t size;  // At most kJournalMaxRecord.
  uint32_t reserved;
};
static_assert(sizeof(JournalRecord) == 24);

}  // namespace hydra::link

#endif  // HYDRA_LINK_JOURNAL_H_
