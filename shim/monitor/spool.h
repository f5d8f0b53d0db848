// A queue of bytes on disk, in a file that has no name.
//
// The file is a ring: a byte's place is its position modulo the capacity, so
// the file never grows beyond that, however much goes through it. What has been
// read is given back to the file system as reading goes on. There is no name,
// so nothing is left behind however the process ends; and the open file is all
// there is, so a successor needs the descriptor and the numbers below.
//
// Nothing is made durable: the queue is worth something only as long as the
// process that has the reader and the writer. Loop thread only.

#ifndef HYDRA_MONITOR_SPOOL_H_
#define HYDRA_MONITOR_SPOOL_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

// Opens a new file without a name in `directory`, which is made if it is not
// there (0700, its parents 0755). errno as -1's reason.
UniqueFd OpenSpoolFile(const std::string& directory);
// The same on a file system that has no O_TMPFILE: by a name that is removed
// at once.
UniqueFd OpenUnlinkedFile(const std::string& directory);

class Spool {
 public:
  // Lines longer than this may be cut by DropOldest.
  static constexpr size_t kMaxLine = 16 << 10;

  // Takes an empty file. `capacity` is not 0.
  void Open(UniqueFd file, uint64_t capacity);
  // Forgets all of it, and gives the disk space back.
  void Close();

  bool is_open() const { return file_.valid(); }
  bool empty() const { return read_ == written_; }
  uint64_t size() const { return written_ - read_; }
  uint64_t room() const { return capacity_ - size(); }

  // Both append at most room() bytes. The count, which is less than asked for
  // if the disk is full halfway, or -errno if nothing could be appended. Bytes
  // that are not appended are still in the pipe.
  ssize_t Append(std::string_view data);
  // 0 is the end of the pipe, -EAGAIN an empty one; -EINVAL: this descriptor
  // cannot be spliced from.
  ssize_t AppendFrom(int pipe, size_t limit);

  // Copies the oldest bytes, and leaves them where they are. The count, at
  // least 1 if it is not empty, or -errno.
  ssize_t Peek(char* buffer, size_t size) const;
  // Forgets the oldest `count` bytes.
  void Consume(size_t count);

  // Makes room for at least `count` more bytes (at most the capacity) by
  // dropping from the oldest, up to the end of a line if there is one within
  // kMaxLine. With `in_line` the reader has had the beginning of a line: then
  // the rest of that line is kept. Returns how many were dropped.
  uint64_t DropOldest(uint64_t count, bool in_line);

  // In stream_state.cc.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);

 private:
  // The position after the first line feed at or after `from`; 0 if there is
  // none within kMaxLine.
  uint64_t FindLineEnd(uint64_t from) const;
  ssize_t ReadAt(uint64_t position, char* buffer, size_t size) const;
  bool WriteAt(uint64_t position, const char* data, size_t size);
  uint64_t Place(uint64_t position) const { return position % capacity_; }
  // How much of `size` bytes at `position` is in one piece.
  size_t Contiguous(uint64_t position, uint64_t size) const;
  void Release();

  UniqueFd file_;
  uint64_t capacity_ = 0;
  // Positions, counted from the opening: of the next byte to read and to
  // write, and up to which space has been given back.
  uint64_t read_ = 0;
  uint64_t written_ = 0;
  uint64_t released_ = 0;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_SPOOL_H_
