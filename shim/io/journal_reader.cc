#include "shim/io/journal_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "shim/base/status.h"
#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

using link::JournalRecord;
using link::JournalTag;

constexpr size_t kHeader = sizeof(JournalRecord);
// What is read at once: more than a record.
constexpr size_t kChunk = 256 << 10;
static_assert(kChunk >= kHeader + link::kJournalMaxRecord);

std::vector<uint64_t> FindSegments(const std::string& directory) {
  std::vector<uint64_t> segments;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()),
                                                    &closedir);
  if (entries == nullptr) return segments;
  while (const dirent* entry = readdir(entries.get())) {
    char* end = nullptr;
    const uint64_t position = strtoull(entry->d_name, &end, 16);
    if (strlen(entry->d_name) == link::kJournalNameSize && *end == '\0') {
      segments.push_back(position);
    }
  }
  std::sort(segments.begin(), segments.end());
  return segments;
}

// One segment, read record by record.
class Segment final {
 public:
  // NotFound: it has been removed meanwhile.
  static absl::StatusOr<Segment> Open(const std::string& directory,
                                      uint64_t position) {
    char name[link::kJournalNameSize + 1];
    snprintf(name, sizeof(name), "%016llx",
             static_cast<unsigned long long>(position));
    Segment segment;
    segment.path_ = directory + "/" + name;
    segment.begin_ = position;
    segment.file_.Reset(open(segment.path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!segment.file_.valid()) {
      return ErrnoError(errno, "open", segment.path_);
    }
    return segment;
  }

  // Calls `take` with each whole record from `*position` on, and moves that on,
  // until there is none or `take` says that it has enough. DataLoss: what stands
  // there is none.
  absl::Status ForEach(
      uint64_t* position,
      const std::function<bool(const JournalRecord&, std::string_view data)>&
          take) const {
    std::string chunk(kChunk, '\0');
    while (true) {
      const auto at = static_cast<off_t>(*position - begin_);
      const ssize_t n = pread(file_.get(), chunk.data(), chunk.size(), at);
      if (n < 0) return ErrnoError(errno, "read", path_);
      std::string_view left(chunk.data(), static_cast<size_t>(n));
      const size_t before = left.size();
      JournalRecord record;
      while (left.size() >= kHeader) {
        memcpy(&record, left.data(), kHeader);
        if (record.magic != link::kJournalMagic ||
            record.size > link::kJournalMaxRecord) {
          return DataLoss("journal " + path_ + ": no record at byte " +
                          std::to_string(*position - begin_));
        }
        const size_t size = kHeader + record.size;
        if (left.size() < size) break;
        const bool more = take(record, left.substr(kHeader, record.size));
        *position += size;
        left.remove_prefix(size);
        if (!more) return absl::OkStatus();
      }
      if (left.size() == before || before < chunk.size()) {
        return absl::OkStatus();
      }
    }
  }

 private:
  UniqueFd file_;
  std::string path_;
  uint64_t begin_ = 0;
};

JournalEntry MakeEntry(uint64_t position, const JournalRecord& record,
                       std::string_view data) {
  JournalEntry entry;
  entry.position = position;
  entry.time = record.time;
  entry.tag = static_cast<JournalTag>(record.tag);
  if (entry.tag == JournalTag::kLost) {
    memcpy(&entry.lost, data.data(),
           std::min(data.size(), sizeof(entry.lost)));
  } else {
    entry.data = data;
  }
  return entry;
}

}  // namespace

absl::StatusOr<JournalReader::Batch> JournalReader::Read(
    uint64_t position, size_t max_bytes) const {
  Batch batch;
  const std::vector<uint64_t> segments = FindSegments(directory_);
  if (segments.empty()) {
    batch.at_end = true;
    return batch;
  }
  batch.next = position;
  if (position < segments.front()) {
    batch.missed = segments.front() - position;
    batch.next = segments.front();
  }
  auto next = std::upper_bound(segments.begin(), segments.end(), batch.next);
  size_t bytes = 0;
  for (auto it = next - 1; it != segments.end(); ++it) {
    // The one before ended here.
    batch.next = std::max(batch.next, *it);
    absl::StatusOr<Segment> segment = Segment::Open(directory_, *it);
    if (absl::IsNotFound(segment.status())) {
      // The writer is faster than we are. What is missing is known at the next.
      if (batch.entries.empty()) return Read(position, max_bytes);
      return batch;
    }
    if (!segment.ok()) return segment.status();
    HYDRA_RETURN_IF_ERROR(segment->ForEach(
        &batch.next, [&](const JournalRecord& record, std::string_view data) {
          batch.entries.push_back(MakeEntry(batch.next, record, data));
          bytes += data.size();
          return bytes < max_bytes;
        }));
    if (bytes >= max_bytes) return batch;
  }
  batch.at_end = true;
  return batch;
}

absl::StatusOr<JournalReader::Place> JournalReader::FindTail(
    const std::function<size_t(std::string_view data)>& take_back) const {
  const std::vector<uint64_t> segments = FindSegments(directory_);
  Place place;
  if (!segments.empty()) place.position = segments.front();
  for (auto it = segments.rbegin(); it != segments.rend(); ++it) {
    absl::StatusOr<Segment> segment = Segment::Open(directory_, *it);
    if (absl::IsNotFound(segment.status())) break;  // What is left is newer.
    if (!segment.ok()) return segment.status();
    std::vector<JournalEntry> entries;
    uint64_t position = *it;
    HYDRA_RETURN_IF_ERROR(segment->ForEach(
        &position, [&](const JournalRecord& record, std::string_view data) {
          entries.push_back(MakeEntry(position, record, data));
          return true;
        }));
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
      const size_t unwanted = take_back(entry->data);
      if (unwanted == 0) continue;
      if (unwanted < entry->data.size()) return Place{entry->position, unwanted};
      return Place{entry->position + kHeader + entry->data.size(), 0};
    }
  }
  return place;
}

absl::StatusOr<JournalReader::Batch> JournalReader::ReadFrom(
    const absl::StatusOr<Place>& place, size_t max_bytes) const {
  if (!place.ok()) return place.status();
  HYDRA_ASSIGN_OR_RETURN(Batch batch, Read(place->position, max_bytes));
  // Unless it has been removed meanwhile.
  if (!batch.entries.empty() && batch.missed == 0) {
    std::string& data = batch.entries.front().data;
    data.erase(0, std::min(place->skip, data.size()));
  }
  batch.missed = 0;
  return batch;
}

absl::StatusOr<JournalReader::Batch> JournalReader::ReadLines(
    uint64_t lines, size_t max_bytes) const {
  uint64_t ends = 0;
  bool is_last = true;
  return ReadFrom(FindTail([&](std::string_view data) -> size_t {
                    for (size_t i = data.size(); i > 0; --i) {
                      const bool ends_log = std::exchange(is_last, false);
                      // The one at the very end begins no line.
                      if (lines > 0 && ends_log) continue;
                      if (lines == 0) return i;
                      if (data[i - 1] == '\n' && ++ends == lines) return i;
                    }
                    return 0;
                  }),
                  max_bytes);
}

absl::StatusOr<JournalReader::Batch> JournalReader::ReadBytes(
    uint64_t bytes, size_t max_bytes) const {
  uint64_t left = bytes;
  return ReadFrom(FindTail([&](std::string_view data) -> size_t {
                    if (data.size() > left) return data.size() - left;
                    left -= data.size();
                    return 0;
                  }),
                  max_bytes);
}

absl::StatusOr<uint64_t> JournalReader::FindTime(int64_t time) const {
  const std::vector<uint64_t> segments = FindSegments(directory_);
  std::optional<uint64_t> first;
  uint64_t end = 0;
  // The last segment that begins before it has the place, or ends there.
  for (auto it = segments.rbegin(); it != segments.rend(); ++it) {
    absl::StatusOr<Segment> segment = Segment::Open(directory_, *it);
    if (absl::IsNotFound(segment.status())) break;  // What is left is newer.
    if (!segment.ok()) return segment.status();
    uint64_t position = *it;
    bool begins_before = false;
    std::optional<uint64_t> found;
    HYDRA_RETURN_IF_ERROR(segment->ForEach(
        &position, [&](const JournalRecord& record, std::string_view) {
          if (record.time >= time) {
            found = position;
            return false;
          }
          begins_before = true;
          return true;
        }));
    end = std::max(end, position);
    if (found.has_value()) first = found;
    if (begins_before) break;
  }
  return first.value_or(end);
}

absl::StatusOr<uint64_t> JournalReader::End() const {
  HYDRA_ASSIGN_OR_RETURN(const Batch batch, ReadLines(0, 0));
  return batch.next;
}

}  // namespace hydra
