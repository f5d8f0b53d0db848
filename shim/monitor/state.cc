#include "shim/monitor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace hydra::monitor {
namespace {

constexpr std::string_view kMagic = "HYDRAMON";
constexpr size_t kNumber = sizeof(uint64_t);
constexpr size_t kOldestAt = 2 * kNumber;
constexpr size_t kHeader = 3 * kNumber;
// More than any monitor may hold: a larger file is foreign.
constexpr off_t kMaxState = off_t{1} << 32;

uint64_t Hash(std::string_view bytes) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
}

uint64_t NumberAt(std::string_view bytes, size_t at) {
  uint64_t value;
  memcpy(&value, bytes.data() + at, kNumber);
  return value;
}

}  // namespace

StateWriter::StateWriter() : bytes_(kMagic) {
  Number(kStateVersion);
  Number(1);
}

void StateWriter::Begin() {
  open_.push_back(bytes_.size());
  Number(0);
}

void StateWriter::End() {
  const size_t at = open_.back();
  open_.pop_back();
  const uint64_t length = bytes_.size() - at - kNumber;
  memcpy(bytes_.data() + at, &length, kNumber);
}

void StateWriter::EndRecord() {
#ifdef HYDRA_TEST_STATE_NEXT
  // What a later version may do to any record.
  Number(kStateVersion);
  Bytes("a field that version 1 does not know");
#endif
  End();
}

void StateWriter::BeginSection(StateSection section) {
  Begin();
  Number(static_cast<uint64_t>(section));
}

void StateWriter::Number(uint64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), kNumber);
}

void StateWriter::Bytes(std::string_view bytes) {
  Number(bytes.size());
  bytes_.append(bytes);
}

void StateWriter::Fd(const UniqueFd& fd) {
  // One more, so that zero is none.
  Number(fd.valid() ? static_cast<uint64_t>(fd.get()) + 1 : 0);
  if (fd.valid()) fds_.push_back(fd.get());
}

void StateWriter::NeedsVersion(uint64_t version) {
  if (version <= NumberAt(bytes_, kOldestAt)) return;
  memcpy(bytes_.data() + kOldestAt, &version, kNumber);
}

std::string StateWriter::Finish() {
  Number(Hash(bytes_));
  return std::move(bytes_);
}

StateReader::StateReader(std::string_view state, Mode mode)
    : bytes_(state), mode_(mode) {
  if (state.size() < kHeader + kNumber ||
      state.substr(0, kMagic.size()) != kMagic ||
      NumberAt(state, state.size() - kNumber) !=
          Hash(state.substr(0, state.size() - kNumber))) {
    error_ = EBADMSG;
    return;
  }
  version_ = NumberAt(state, kNumber);
  oldest_ = NumberAt(state, kOldestAt);
  if (oldest_ > kStateVersion) {
    error_ = ENOTSUP;
    return;
  }
  ends_.push_back(state.size() - kNumber);
}

void StateReader::Fail() {
  if (error_ == 0) error_ = EBADMSG;
  ends_.clear();
}

bool StateReader::BeginSection(StateSection section) {
  if (error_ != 0) return false;
  ends_.resize(1);
  at_ = kHeader;
  while (BeginRecord()) {
    if (Number() == static_cast<uint64_t>(section)) return true;
    End();
  }
  return false;
}

bool StateReader::BeginRecord() {
  if (left() == 0) return false;
  const uint64_t length = Number();
  if (error_ != 0) return false;
  if (length > left()) {
    Fail();
    return false;
  }
  ends_.push_back(at_ + length);
  return true;
}

void StateReader::BeginList() {
  // A list that is not there is one of nothing.
  if (!BeginRecord() && error_ == 0) ends_.push_back(at_);
}

void StateReader::End() {
  if (error_ != 0) return;
  at_ = ends_.back();
  ends_.pop_back();
}

uint64_t StateReader::Number() {
  if (left() == 0) return 0;
  if (left() < kNumber) {
    Fail();
    return 0;
  }
  at_ += kNumber;
  return NumberAt(bytes_, at_ - kNumber);
}

std::string_view StateReader::Bytes() {
  const uint64_t size = Number();
  if (size > left()) {
    Fail();
    return {};
  }
  at_ += size;
  return bytes_.substr(at_ - size, size);
}

UniqueFd StateReader::Fd() {
  const uint64_t number = Number();
  if (number == 0) return UniqueFd();
  const auto fd = static_cast<int>(number - 1);
  // Each is one object's: two that close it would close another's.
  if (number > INT32_MAX ||
      std::find(fds_.begin(), fds_.end(), fd) != fds_.end()) {
    Fail();
    return UniqueFd();
  }
  fds_.push_back(fd);
  return UniqueFd(mode_ == Mode::kTake ? fd : -1);
}

UniqueFd MakeStateFile(std::string_view state) {
  UniqueFd fd(memfd_create("hydra-monitor-state", MFD_CLOEXEC));
  size_t done = 0;
  while (fd.valid() && done < state.size()) {
    const ssize_t n = write(fd.get(), state.data() + done, state.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return UniqueFd();
    done += static_cast<size_t>(n);
  }
  return fd;
}

int ReadStateFile(int fd, std::string* state) {
  struct stat st;
  if (fstat(fd, &st) < 0) return errno;
  if (st.st_size > kMaxState) return EBADMSG;
  state->resize(static_cast<size_t>(st.st_size));
  size_t done = 0;
  while (done < state->size()) {
    const ssize_t n = pread(fd, state->data() + done, state->size() - done,
                            static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EBADMSG;
    done += static_cast<size_t>(n);
  }
  return 0;
}

}  // namespace hydra::monitor
