#include "shim/monitor/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "shim/monitor/clock.h"
#include "shim/monitor/files.h"
#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

using link::JournalRecord;
using link::JournalTag;

// The journal goes back by this part of its bound when it is full.
constexpr uint64_t kSegments = 8;
constexpr int64_t kRetry = kSecond;

// Their positions, in order.
std::deque<uint64_t> FindSegments(const std::string& path) {
  std::deque<uint64_t> segments;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return segments;
  while (const dirent* entry = readdir(directory)) {
    char* end = nullptr;
    const uint64_t position = strtoull(entry->d_name, &end, 16);
    if (strlen(entry->d_name) == link::kJournalNameSize && *end == '\0') {
      segments.push_back(position);
    }
  }
  closedir(directory);
  std::sort(segments.begin(), segments.end());
  return segments;
}

bool ReadRecord(int fd, uint64_t at, JournalRecord* record) {
  return pread(fd, record, sizeof(*record), static_cast<off_t>(at)) ==
             static_cast<ssize_t>(sizeof(*record)) &&
         record->magic == link::kJournalMagic &&
         record->size <= link::kJournalMaxRecord;
}

// How much of a segment is whole records.
uint64_t WholeSize(int fd) {
  struct stat st;
  if (fstat(fd, &st) < 0) return 0;
  const auto file_size = static_cast<uint64_t>(st.st_size);
  uint64_t size = 0;
  JournalRecord record;
  while (ReadRecord(fd, size, &record)) {
    const uint64_t next = size + sizeof(record) + record.size;
    if (next > file_size) break;
    size = next;
  }
  return size;
}

}  // namespace

std::string Journal::PathOf(uint64_t position) const {
  char name[link::kJournalNameSize + 1];
  snprintf(name, sizeof(name), "%016llx",
           static_cast<unsigned long long>(position));
  return directory_ + "/" + name;
}

void Journal::Open(std::string directory, uint64_t max_bytes) {
  directory_ = std::move(directory);
  max_bytes_ = std::max(max_bytes, link::kJournalMinBytes);
  segments_ = FindSegments(directory_);
  if (segments_.empty()) return;
  begin_ = segments_.back();
  file_.Reset(open(PathOf(begin_).c_str(), O_RDWR | O_CLOEXEC));
  if (!file_.valid()) {
    Failed(errno, 0);
    return;
  }
  size_ = WholeSize(file_.get());
}

void Journal::Failed(int error, int64_t time) {
  if (error != error_) {
    LogWarning("journal in %s: %s", directory_.c_str(), ErrorName(error));
  }
  error_ = error;
  retry_at_ = time + kRetry;
}

bool Journal::BeginSegment(int64_t time) {
  const uint64_t position = end();
  const std::string path = PathOf(position);
  constexpr int kFlags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
  UniqueFd file(open(path.c_str(), kFlags, 0600));
  if (!file.valid() && errno == ENOENT) {
    MakeDirectories(directory_);
    file.Reset(open(path.c_str(), kFlags, 0600));
  }
  if (!file.valid()) {
    Failed(errno, time);
    return false;
  }
  file_ = std::move(file);
  begin_ = position;
  size_ = 0;
  if (segments_.empty() || segments_.back() != position) {
    segments_.push_back(position);
  }
  // The one that is begun may come to be as long as any.
  while (segments_.size() > 1 &&
         end() - segments_.front() > max_bytes_ - max_bytes_ / kSegments) {
    unlink(PathOf(segments_.front()).c_str());
    segments_.pop_front();
  }
  return true;
}

bool Journal::WriteRecord(JournalTag tag, std::string_view data, int64_t time) {
  if (time < retry_at_) return false;
  if (!file_.valid() || size_ >= max_bytes_ / kSegments) {
    if (!BeginSegment(time)) return false;
  }
  JournalRecord record = {};
  record.magic = link::kJournalMagic;
  record.tag = static_cast<uint32_t>(tag);
  record.time = time;
  record.size = static_cast<uint32_t>(data.size());
  const iovec parts[] = {{&record, sizeof(record)},
                         {const_cast<char*>(data.data()), data.size()}};
  const size_t whole = sizeof(record) + data.size();
  ssize_t n;
  do {
    n = pwritev(file_.get(), parts, 2, static_cast<off_t>(size_));
  } while (n < 0 && errno == EINTR);
  if (n != static_cast<ssize_t>(whole)) {
    Failed(n < 0 ? errno : ENOSPC, time);
    // What is left of it would stand behind the next one, if that is shorter.
    if (n > 0 && ftruncate(file_.get(), static_cast<off_t>(size_)) < 0) {
      file_.Reset();
    }
    return false;
  }
  size_ += whole;
  return true;
}

void Journal::Append(JournalTag tag, std::string_view data, int64_t time) {
  while (!data.empty()) {
    const std::string_view piece = data.substr(0, link::kJournalMaxRecord);
    data.remove_prefix(piece.size());
    if (lost_untold_ > 0) {
      const std::string_view count(reinterpret_cast<const char*>(&lost_untold_),
                                   sizeof(lost_untold_));
      if (WriteRecord(JournalTag::kLost, count, time)) lost_untold_ = 0;
    }
    if (lost_untold_ == 0 && WriteRecord(tag, piece, time)) {
      written_ += piece.size();
    } else {
      lost_ += piece.size();
      lost_untold_ += piece.size();
    }
  }
}

void Journals::Open(const link::Message& message) {
  const auto body = message.Body<link::JournalOpen>();
  auto& journal = journals_[body.journal];
  if (journal != nullptr) return;
  journal = std::make_unique<Journal>();
  journal->Open(std::string(message.tail()), body.max_bytes);
}

Journal* Journals::Find(uint64_t number) {
  const auto found = journals_.find(number);
  return found == journals_.end() ? nullptr : found->second.get();
}

void Journals::Describe(link::Status* status) const {
  for (const auto& [number, journal] : journals_) {
    status->journal_bytes += journal->written();
    status->journal_lost_bytes += journal->lost();
    if (journal->error() != 0) status->journal_error = journal->error();
  }
}

void Journal::Save(StateWriter* state) const {
  state->Bytes(directory_);
  state->Number(max_bytes_);
  state->BeginList();
  for (const uint64_t segment : segments_) {
    state->BeginRecord();
    state->Number(segment);
    state->EndRecord();
  }
  state->EndList();
  state->Fd(file_);
  state->Number(begin_);
  state->Number(size_);
  state->Number(written_);
  state->Number(lost_);
  state->Number(lost_untold_);
  state->Signed(error_);
}

void Journal::Load(StateReader* state) {
  directory_ = state->Bytes();
  max_bytes_ = state->Number();
  state->BeginList();
  while (state->BeginRecord()) {
    segments_.push_back(state->Number());
    state->EndRecord();
  }
  state->EndList();
  file_ = state->Fd();
  begin_ = state->Number();
  size_ = state->Number();
  written_ = state->Number();
  lost_ = state->Number();
  lost_untold_ = state->Number();
  error_ = state->As<int>();
  if (max_bytes_ < link::kJournalMinBytes) state->Fail();
}

void Journals::Save(StateWriter* state) const {
  state->BeginList();
  for (const auto& [number, journal] : journals_) {
    state->BeginRecord();
    state->Number(number);
    journal->Save(state);
    state->EndRecord();
  }
  state->EndList();
}

void Journals::Load(StateReader* state) {
  state->BeginList();
  while (state->BeginRecord()) {
    auto& journal = journals_[state->Number()];
    journal = std::make_unique<Journal>();
    journal->Load(state);
    state->EndRecord();
  }
  state->EndList();
}

}  // namespace hydra::monitor
