#include "shim/state/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "shim/base/crash_point.h"
#include "shim/base/file.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

// What tells our file from another. Both slots have the same size, and follow
// at once: with the smallest size the file has two pages.
struct FileHeader {
  char magic[8];
  uint64_t slot_size;
};
// Of a slot; the record's bytes follow. Zeroes where nothing was saved yet.
struct SlotHeader {
  uint64_t sequence;
  uint64_t length;
  // Of the two above and the bytes. Protobuf alone takes many a truncated
  // message for a whole one.
  uint64_t checksum;
};
// The last is the layout's number: of the slots, not of the records in them,
// which say themselves who can read them. No head writes a layout that the
// release before it does not read, or a downgrade would be refused.
constexpr char kMagic[8] = {'H', 'Y', 'D', 'R', 'A', 'S', 'T', '2'};
constexpr size_t kLayoutAt = sizeof(kMagic) - 1;
constexpr size_t kMaxFile = size_t{512} << 20;
constexpr size_t kSmallestSlot = (8192 - sizeof(FileHeader)) / 2;
// Above it, a file that is mostly empty is made smaller.
constexpr size_t kLargeSlot = 64 << 10;

// FNV-1a: against accidents, not against attackers, who are root here anyway.
uint64_t Checksum(const SlotHeader& header, std::string_view bytes) {
  uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](const void* data, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      const auto byte = static_cast<const unsigned char*>(data)[i];
      hash = (hash ^ byte) * 1099511628211u;
    }
  };
  add(&header.sequence, sizeof(header.sequence));
  add(&header.length, sizeof(header.length));
  add(bytes.data(), bytes.size());
  return hash;
}

// The slot as it stands in the file, without what fills it up.
std::string EncodeSlot(uint64_t sequence, const state::Record& record) {
  std::string slot(sizeof(SlotHeader), '\0');
  record.AppendToString(&slot);
  SlotHeader header = {};
  header.sequence = sequence;
  header.length = slot.size() - sizeof(header);
  header.checksum =
      Checksum(header, std::string_view(slot).substr(sizeof(header)));
  memcpy(slot.data(), &header, sizeof(header));
  return slot;
}

struct SlotContent {
  uint64_t sequence = 0;  // 0: empty, or written in part.
  std::string_view record;
};

SlotContent ReadSlot(std::string_view slot) {
  SlotHeader header;
  memcpy(&header, slot.data(), sizeof(header));
  slot.remove_prefix(sizeof(header));
  if (header.length > slot.size()) return {};
  const std::string_view record = slot.substr(0, header.length);
  if (header.checksum != Checksum(header, record)) return {};
  return {header.sequence, record};
}

}  // namespace

const std::string& BootId() {
  static const auto* id = [] {
    auto text = ReadFile("/proc/sys/kernel/random/boot_id", 64);
    if (text.ok() && text->ends_with('\n')) text->pop_back();
    return new std::string(text.ok() ? *text : std::string());
  }();
  return *id;
}

absl::StatusOr<state::Record> RecordFile::Load() {
  HYDRA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path_, kMaxFile));
  const std::string file = "state file " + path_ + ": ";
  FileHeader header;
  if (text.size() < sizeof(header)) return DataLoss(file + "cut short");
  memcpy(&header, text.data(), sizeof(header));
  if (memcmp(header.magic, kMagic, kLayoutAt) != 0) {
    return DataLoss(file + "not a state file of Hydra");
  }
  if (header.magic[kLayoutAt] > kMagic[kLayoutAt]) {
    return FailedPrecondition(file + "its layout is newer than what this " +
                              "version reads");
  }
  if (header.magic[kLayoutAt] != kMagic[kLayoutAt]) {
    return DataLoss(file + "not a state file of Hydra");
  }
  const std::string_view slots = std::string_view(text).substr(sizeof(header));
  if (header.slot_size < kSmallestSlot || slots.size() / 2 < header.slot_size) {
    return DataLoss(file + "cut short");
  }
  const SlotContent first = ReadSlot(slots.substr(0, header.slot_size));
  const SlotContent second =
      ReadSlot(slots.substr(header.slot_size, header.slot_size));
  const bool second_is_newer = second.sequence > first.sequence;
  const SlotContent& newest = second_is_newer ? second : first;
  if (newest.sequence == 0) return DataLoss(file + "wrong checksum");
  state::Record record;
  if (!record.ParseFromArray(newest.record.data(),
                             static_cast<int>(newest.record.size()))) {
    return DataLoss(file + "does not parse");
  }
  if (record.format_version() > kRecordVersion) {
    return FailedPrecondition(
        file + "format " + std::to_string(record.format_version()) +
        " is newer than " + std::to_string(kRecordVersion) +
        ", which this version reads");
  }
  if (record.boot_id() != BootId()) {
    return DataLoss(file + "from before the last boot");
  }
  sequence_ = newest.sequence;
  return record;
}

absl::Status RecordFile::Save(const state::Record& record) {
  const std::string slot = EncodeSlot(sequence_ + 1, record);
  const bool fits = fd_.valid() && slot.size() <= slot_size_;
  const bool wasteful = slot_size_ > kLargeSlot && slot.size() < slot_size_ / 8;
  HYDRA_RETURN_IF_ERROR(fits && !wasteful ? Overwrite(slot) : Rewrite(slot));
  ++sequence_;
  return absl::OkStatus();
}

absl::Status RecordFile::Overwrite(std::string_view slot) {
  const size_t offset =
      sizeof(FileHeader) + (last_slot_is_first_ ? slot_size_ : 0);
  HYDRA_CRASH_POINT("state.overwrite");
  size_t done = 0;
  while (done < slot.size()) {
    const ssize_t n = pwrite(fd_.get(), slot.data() + done, slot.size() - done,
                             static_cast<off_t>(offset + done));
    if (n < 0 && errno != EINTR) return ErrnoError(errno, "write", path_);
    if (n > 0) done += static_cast<size_t>(n);
  }
  HYDRA_CRASH_POINT("state.overwritten");
  last_slot_is_first_ = !last_slot_is_first_;
  return absl::OkStatus();
}

absl::Status RecordFile::Rewrite(std::string_view slot) {
  FileHeader header = {};
  memcpy(header.magic, kMagic, sizeof(kMagic));
  // Room to grow, so that this is done seldom.
  header.slot_size = kSmallestSlot;
  while (header.slot_size < slot.size()) header.slot_size *= 2;
  std::string text(reinterpret_cast<const char*>(&header), sizeof(header));
  text.append(slot);
  // Zeroes and no hole: a full disk must not stop a later Save.
  text.resize(sizeof(header) + 2 * header.slot_size);
  HYDRA_RETURN_IF_ERROR(ReplaceFile(path_, text, 0600));
  slot_size_ = header.slot_size;
  last_slot_is_first_ = true;
  // If that fails, the next Save is a Rewrite too.
  fd_.Reset(open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  return absl::OkStatus();
}

}  // namespace hydra
