#include "shim/state/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "shim/base/file.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

// Before the protobuf: what tells our file from another, and a whole one from
// a part. Protobuf alone takes many a truncated message for a whole one.
struct FileHeader {
  char magic[8];
  uint64_t length;
  uint64_t checksum;
};
constexpr char kMagic[8] = {'H', 'Y', 'D', 'R', 'A', 'S', 'T', '1'};
constexpr size_t kMaxRecord = size_t{256} << 20;

// FNV-1a: against accidents, not against attackers, who are root here anyway.
uint64_t Checksum(std::string_view bytes) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
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

absl::StatusOr<state::Record> RecordFile::Load() const {
  HYDRA_ASSIGN_OR_RETURN(const std::string text, ReadFile(path_, kMaxRecord));
  FileHeader header;
  if (text.size() < sizeof(header)) {
    return DataLoss("state file " + path_ + ": cut short");
  }
  memcpy(&header, text.data(), sizeof(header));
  if (memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) {
    return DataLoss("state file " + path_ + ": not a state file of Hydra");
  }
  const std::string_view body = std::string_view(text).substr(sizeof(header));
  if (body.size() != header.length) {
    return DataLoss("state file " + path_ + ": cut short");
  }
  if (Checksum(body) != header.checksum) {
    return DataLoss("state file " + path_ + ": wrong checksum");
  }
  state::Record record;
  if (!record.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return DataLoss("state file " + path_ + ": does not parse");
  }
  if (record.format_version() > kRecordVersion) {
    return FailedPrecondition(
        "state file " + path_ + ": format " +
        std::to_string(record.format_version()) + " is newer than " +
        std::to_string(kRecordVersion) + ", which this version reads");
  }
  if (record.boot_id() != BootId()) {
    return DataLoss("state file " + path_ + ": from before the last boot");
  }
  return record;
}

absl::Status RecordFile::Save(const state::Record& record) const {
  std::string text(sizeof(FileHeader), '\0');
  record.AppendToString(&text);
  const std::string_view body =
      std::string_view(text).substr(sizeof(FileHeader));
  FileHeader header = {};
  memcpy(header.magic, kMagic, sizeof(kMagic));
  header.length = body.size();
  header.checksum = Checksum(body);
  memcpy(text.data(), &header, sizeof(header));
  return ReplaceFile(path_, text, 0600);
}

}  // namespace hydra
