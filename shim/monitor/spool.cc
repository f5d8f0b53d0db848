#include "shim/monitor/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shim/monitor/files.h"

namespace hydra::monitor {
namespace {

// Giving space back costs a journal entry: not for every few bytes.
constexpr uint64_t kReleaseStep = 1 << 20;

}  // namespace

UniqueFd OpenSpoolFile(const std::string& directory) {
  constexpr int kFlags = O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC;
  UniqueFd file(open(directory.c_str(), kFlags, 0600));
  if (!file.valid() && errno == ENOENT) {
    MakeDirectories(directory);
    file.Reset(open(directory.c_str(), kFlags, 0600));
  }
  // EISDIR is what a kernel says that knows nothing of O_TMPFILE (open(2)).
  if (!file.valid() && (errno == EOPNOTSUPP || errno == EISDIR)) {
    file = OpenUnlinkedFile(directory);
  }
  return file;
}

UniqueFd OpenUnlinkedFile(const std::string& directory) {
  std::string path = directory + "/spool-XXXXXX";
  UniqueFd file(mkostemp(path.data(), O_CLOEXEC));
  if (file.valid()) unlink(path.c_str());
  return file;
}

void Spool::Open(UniqueFd file, uint64_t capacity) {
  file_ = std::move(file);
  capacity_ = capacity;
  read_ = written_ = released_ = 0;
}

void Spool::Close() {
  file_.Reset();
  read_ = written_ = released_ = 0;
}

size_t Spool::Contiguous(uint64_t position, uint64_t size) const {
  return static_cast<size_t>(std::min(size, capacity_ - Place(position)));
}

ssize_t Spool::Append(std::string_view data) {
  size_t done = 0;
  const size_t size = std::min<uint64_t>(data.size(), room());
  while (done < size) {
    const ssize_t n = pwrite(file_.get(), data.data() + done,
                             Contiguous(written_, size - done),
                             static_cast<off_t>(Place(written_)));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return done > 0 ? static_cast<ssize_t>(done) : -errno;
    done += static_cast<size_t>(n);
    written_ += static_cast<uint64_t>(n);
  }
  return static_cast<ssize_t>(done);
}

ssize_t Spool::AppendFrom(int pipe, size_t limit) {
  auto place = static_cast<off64_t>(Place(written_));
  const size_t size = Contiguous(written_, std::min<uint64_t>(limit, room()));
  ssize_t n;
  do {
    n = splice(pipe, nullptr, file_.get(), &place, size, SPLICE_F_NONBLOCK);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  written_ += static_cast<uint64_t>(n);
  return n;
}

ssize_t Spool::ReadAt(uint64_t position, char* buffer, size_t size) const {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = pread(file_.get(), buffer + done,
                            Contiguous(position + done, size - done),
                            static_cast<off_t>(Place(position + done)));
    if (n < 0 && errno == EINTR) continue;
    // A file that ends before what was written to it: somebody cut it.
    if (n == 0) errno = EIO;
    if (n <= 0) return done > 0 ? static_cast<ssize_t>(done) : -errno;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

bool Spool::WriteAt(uint64_t position, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = pwrite(file_.get(), data, Contiguous(position, size),
                             static_cast<off_t>(Place(position)));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    position += static_cast<uint64_t>(n);
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

ssize_t Spool::Peek(char* buffer, size_t count) const {
  return ReadAt(read_, buffer, std::min<uint64_t>(count, size()));
}

void Spool::Consume(size_t count) {
  read_ += std::min<uint64_t>(count, size());
  if (read_ - released_ >= kReleaseStep) Release();
}

void Spool::Release() {
  // What lies a whole ring behind the writer has been written anew.
  if (written_ > capacity_) {
    released_ = std::max(released_, written_ - capacity_);
  }
  while (released_ < read_) {
    const size_t size = Contiguous(released_, read_ - released_);
    // Where the file system cannot, the ring bounds it all the same.
    fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
              static_cast<off_t>(Place(released_)), static_cast<off_t>(size));
    released_ += size;
  }
}

uint64_t Spool::FindLineEnd(uint64_t from) const {
  static char buffer[kMaxLine];
  const ssize_t n =
      ReadAt(from, buffer, std::min<uint64_t>(kMaxLine, written_ - from));
  if (n <= 0) return 0;
  const void* found = memchr(buffer, '\n', static_cast<size_t>(n));
  if (found == nullptr) return 0;
  return from +
         static_cast<uint64_t>(static_cast<const char*>(found) - buffer) + 1;
}

uint64_t Spool::DropOldest(uint64_t count, bool in_line) {
  if (count <= room()) return 0;
  const uint64_t needed = std::min(count - room(), size());
  uint64_t begin = read_;
  if (in_line) begin = std::max(begin, FindLineEnd(read_));
  if (begin + needed > written_) begin = read_;
  const uint64_t line_end = FindLineEnd(begin + needed - 1);
  const uint64_t end = line_end != 0 ? line_end : begin + needed;
  // The rest of the line moves up to what follows it now, over what is dropped.
  const auto kept = static_cast<size_t>(begin - read_);
  static char buffer[kMaxLine];
  const bool moved =
      ReadAt(read_, buffer, kept) == static_cast<ssize_t>(kept) &&
      WriteAt(end - kept, buffer, kept);
  const uint64_t before = size();
  read_ = moved ? end - kept : end;
  return before - size();
}

}  // namespace hydra::monitor
