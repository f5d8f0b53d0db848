// The exit file: how the processes of a container ended, for whoever comes
// after the monitor.
//
// Format, numbers in the machine's byte order, everything in slots of 64
// bytes, so that no slot crosses a page and each is written by one pwrite(2):
//   slot 0   ExitFileHeader
//   slot 1…  ExitSlot, or zeroes: free
// Both end in the FNV-1a hash (32 bits) of what stands before it. A slot whose
// hash is wrong is damaged, and says nothing. A slot is freed when the head has
// consumed the exit, and then used again; so the file's size is bounded by the
// most exits that ever waited at the same time. The order of slots means
// nothing.
//
// The header's version is the lowest that can read the file: a slot has room to
// grow, and zero there means "as before"; only what an older reader must not
// pass over needs a higher one, which it refuses.
//
// What is written survives the death of the monitor, not that of the machine:
// no container outlives that, and an fsync(2) would stop the loop.
//
// Used by the monitor, the head and `delete`, so: libc and standard headers.

#ifndef HYDRA_MONITOR_EXIT_FILE_H_
#define HYDRA_MONITOR_EXIT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "shim/base/unique_fd.h"

namespace hydra::monitor {

// Its name in the instance's run directory.
inline constexpr char kExitFileName[] = "exits";
inline constexpr uint32_t kExitFileVersion = 1;

struct ExitRecord {
  uint64_t process;  // The head's number: link::Claim::process.
  int32_t pid;
  int32_t wait_status;  // As of waitpid(2).
  int64_t exited_at;    // Unix nanoseconds.
};

struct ExitFileHeader {
  char magic[8];  // "HYDRAEXI"
  uint32_t version;
  uint32_t slot_size;
  uint8_t reserved[44];
  uint32_t hash;
};
static_assert(sizeof(ExitFileHeader) == 64);

struct ExitSlot {
  uint32_t used;  // 1
  uint32_t reserved;
  ExitRecord record;
  uint8_t reserved2[28];
  uint32_t hash;
};
static_assert(sizeof(ExitSlot) == 64);

struct ExitFileContents {
  std::vector<ExitRecord> records;
  // Slots that were neither free nor whole: torn by a full disk, or foreign.
  int damaged_slots = 0;
};

// Reads the file at `path`. Returns 0, or an errno: that of open(2) or
// read(2), ENOENT above all (no exit was recorded); EBADMSG if it is not an
// exit file; ENOTSUP if it is of a later version. Any process, also while the
// monitor writes.
int ReadExitFile(const char* path, ExitFileContents* contents);

// Writes the file. Loop thread of the monitor only.
class ExitFile {
 public:
  // `path` is kept as it is and opened with the first Record, so that a
  // container whose exits nobody waits for costs no file. It must outlive this.
  explicit ExitFile(const char* path) : path_(path) {}

  // Writes a slot for `record`, or rewrites the one of the same process.
  // Returns 0 or an errno; after an error the file holds no such record.
  int Record(const ExitRecord& record);

  // Frees the slot of `process`, if it has one. Returns 0 or an errno.
  int Forget(uint64_t process);

  // Closes and unlinks the file.
  void Delete();

  // Opens the file and takes over what an earlier monitor left in it, without
  // which Forget would not know of it; makes a new one in the place of none,
  // or of what is no exit file. Called by Record. 0 or an errno: ENOTSUP for
  // a file of a later version, which is left alone.
  int Open();

 private:
  int Create();
  int WriteSlot(size_t slot, const void* data);

  const char* path_;
  UniqueFd fd_;
  // The process in each slot, from slot 1 on; 0 if free.
  std::vector<uint64_t> slots_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_EXIT_FILE_H_
