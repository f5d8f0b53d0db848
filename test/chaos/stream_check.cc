#include "test/chaos/stream_check.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace hydra::testing {
namespace {

constexpr size_t kHeaderSize = 2;
constexpr size_t kTrailerSize = 16;

uint64_t LittleEndianAt(const std::string& bytes, size_t offset) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[offset + i]);
  }
  return value;
}

}  // namespace

void StreamChecker::Fail(const std::string& what) {
  if (!error_.empty()) return;
  error_ = what + " at byte " + std::to_string(offset_) + " of the stream";
}

void StreamChecker::Take(std::string_view data) {
  for (const char byte : data) {
    if (!error_.empty()) return;
    TakeByte(static_cast<unsigned char>(byte));
    ++offset_;
  }
}

void StreamChecker::TakeByte(unsigned char byte) {
  if (ended_) {
    Fail("something after the end");
  } else if (in_trailer_) {
    trailer_.push_back(static_cast<char>(byte));
    if (trailer_.size() < kTrailerSize) return;
    ended_ = LittleEndianAt(trailer_, 0) == expected_.count &&
             LittleEndianAt(trailer_, 8) == expected_.sum;
    if (!ended_) Fail("count or sum do not match");
  } else if (header_left_ > 0) {
    chunk_left_ |= size_t{byte} << 8 * (kHeaderSize - header_left_);
    --header_left_;
  } else if (chunk_left_ > 0) {
    --chunk_left_;
    if (byte != StreamNext(&expected_)) Fail("wrong byte");
  } else if (byte == kStreamChunk) {
    header_left_ = kHeaderSize;
  } else if (byte == kStreamEnd) {
    in_trailer_ = true;
  } else {
    Fail("no frame");
  }
}

StreamSink::StreamSink(Kind kind, std::string path, uint64_t seed)
    : kind_(kind), path_(std::move(path)), checker_(seed) {
  if (kind_ == Kind::kFile) return;
  (void)mkfifo(path_.c_str(), 0700);  // What fails here shows at the open.
  // For writing as well, so that there is no end of file between two heads.
  fd_.Reset(open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  stop_.Reset(eventfd(0, EFD_CLOEXEC));
  reader_ = std::thread([this] { Read(); });
}

StreamSink::~StreamSink() {
  (void)Finish();
  unlink(path_.c_str());
}

std::string StreamSink::name() const {
  return kind_ == Kind::kFile ? "file://" + path_ : path_;
}

void StreamSink::Drain() {
  std::array<char, 65536> buffer;
  ssize_t n;
  while ((n = read(fd_.get(), buffer.data(), buffer.size())) > 0) {
    checker_.Take({buffer.data(), static_cast<size_t>(n)});
    has_output_ = true;
  }
}

void StreamSink::Read() {
  pollfd polled[2] = {{fd_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  while (polled[1].revents == 0) {
    poll(polled, 2, -1);
    Drain();
  }
}

bool StreamSink::WaitForOutput(Milliseconds limit) {
  return Eventually(
      [this] {
        struct stat status;
        return has_output_ ||
               (kind_ == Kind::kFile && stat(path_.c_str(), &status) == 0 &&
                status.st_size > 0);
      },
      limit);
}

const StreamChecker& StreamSink::Finish() {
  if (kind_ == Kind::kFile) {
    if (!fd_.valid()) {
      fd_.Reset(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      if (fd_.valid()) Drain();
    }
  } else if (reader_.joinable()) {
    eventfd_write(stop_.get(), 1);
    reader_.join();
  }
  return checker_;
}

}  // namespace hydra::testing
