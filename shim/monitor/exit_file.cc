#include "shim/monitor/exit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

namespace hydra::monitor {
namespace {

constexpr size_t kSlotSize = sizeof(ExitSlot);
constexpr char kMagic[8] = {'H', 'Y', 'D', 'R', 'A', 'E', 'X', 'I'};
// No container has so many exits waiting: a larger file is foreign.
constexpr off_t kMaxFileSize = 64 << 20;

uint32_t Hash(const void* data) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < kSlotSize - sizeof(uint32_t); ++i) {
    hash = (hash ^ bytes[i]) * 16777619u;
  }
  return hash;
}

bool IsZero(const ExitSlot& slot) {
  static constexpr ExitSlot kFree = {};
  return memcmp(&slot, &kFree, sizeof(slot)) == 0;
}

bool IsWhole(const ExitSlot& slot) {
  return slot.used == 1 && slot.record.process != 0 && slot.hash == Hash(&slot);
}

// Reads a whole slot. 0 at the end of the file, -1 with errno.
ssize_t ReadSlot(int fd, size_t slot, void* data) {
  size_t done = 0;
  while (done < kSlotSize) {
    const ssize_t n =
        pread(fd, static_cast<char*>(data) + done, kSlotSize - done,
              static_cast<off_t>(slot * kSlotSize + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) return 0;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

// `slots`, if not null, gets the process in each slot from 1 on.
int ReadAll(int fd, ExitFileContents* contents, std::vector<uint64_t>* slots) {
  struct stat st;
  if (fstat(fd, &st) < 0) return errno;
  if (!S_ISREG(st.st_mode) || st.st_size > kMaxFileSize) return EBADMSG;
  ExitFileHeader header;
  ssize_t n = ReadSlot(fd, 0, &header);
  if (n < 0) return errno;
  if (n == 0 || memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 ||
      header.hash != Hash(&header)) {
    return EBADMSG;
  }
  if (header.version > kExitFileVersion || header.slot_size != kSlotSize) {
    return ENOTSUP;
  }
  const size_t count = static_cast<size_t>(st.st_size) / kSlotSize;
  for (size_t i = 1; i < count; ++i) {
    ExitSlot slot;
    n = ReadSlot(fd, i, &slot);
    if (n < 0) return errno;
    if (n == 0) break;
    const bool whole = IsWhole(slot);
    if (whole) {
      contents->records.push_back(slot.record);
    } else if (!IsZero(slot)) {
      ++contents->damaged_slots;
    }
    if (slots != nullptr) slots->push_back(whole ? slot.record.process : 0);
  }
  if (static_cast<size_t>(st.st_size) % kSlotSize != 0) {
    ++contents->damaged_slots;
  }
  return 0;
}

}  // namespace

int ReadExitFile(const char* path, ExitFileContents* contents) {
  *contents = {};
  // Non-blocking, in case that a FIFO stands in its place.
  const UniqueFd fd(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return errno;
  return ReadAll(fd.get(), contents, nullptr);
}

int ExitFile::Open() {
  if (fd_.valid()) return 0;
  slots_.clear();
  UniqueFd fd(open(path_, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() && errno != ENOENT) return errno;
  if (fd.valid()) {
    ExitFileContents found;
    const int error = ReadAll(fd.get(), &found, &slots_);
    if (error == 0) fd_ = std::move(fd);
    if (error != EBADMSG) return error;
    slots_.clear();
  }
  return Create();
}

int ExitFile::Create() {
  // Renamed once it has its header: a reader never sees an empty one.
  const std::string temporary = std::string(path_) + ".new";
  fd_.Reset(open(temporary.c_str(),
                 O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd_.valid()) return errno;
  ExitFileHeader header = {};
  memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kExitFileVersion;
  header.slot_size = kSlotSize;
  header.hash = Hash(&header);
  int error = WriteSlot(0, &header);
  if (error == 0 && rename(temporary.c_str(), path_) < 0) error = errno;
  if (error != 0) {
    fd_.Reset();
    unlink(temporary.c_str());
  }
  return error;
}

int ExitFile::WriteSlot(size_t slot, const void* data) {
  const ssize_t n =
      pwrite(fd_.get(), data, kSlotSize, static_cast<off_t>(slot * kSlotSize));
  if (n < 0) return errno;
  return n == static_cast<ssize_t>(kSlotSize) ? 0 : ENOSPC;
}

int ExitFile::Record(const ExitRecord& record) {
  const int error = Open();
  if (error != 0) return error;
  auto place = std::find(slots_.begin(), slots_.end(), record.process);
  if (place == slots_.end()) {
    place = std::find(slots_.begin(), slots_.end(), uint64_t{0});
  }
  const size_t index = static_cast<size_t>(place - slots_.begin());
  ExitSlot slot = {};
  slot.used = 1;
  slot.record = record;
  slot.hash = Hash(&slot);
  const int write_error = WriteSlot(index + 1, &slot);
  if (write_error != 0) return write_error;
  if (place == slots_.end()) slots_.push_back(0);
  slots_[index] = record.process;
  return 0;
}

int ExitFile::Forget(uint64_t process) {
  const auto place = std::find(slots_.begin(), slots_.end(), process);
  if (process == 0 || place == slots_.end()) return 0;
  static constexpr ExitSlot kFree = {};
  const int error =
      WriteSlot(static_cast<size_t>(place - slots_.begin()) + 1, &kFree);
  // A slot that could not be freed must not be read as an exit of the one that
  // comes next, which overwrites it: so it is free for us in any case.
  *place = 0;
  return error;
}

void ExitFile::Delete() {
  fd_.Reset();
  slots_.clear();
  unlink(path_);
}

}  // namespace hydra::monitor
