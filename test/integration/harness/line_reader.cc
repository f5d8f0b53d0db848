#include "test/integration/harness/line_reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <utility>

namespace hydra::testing {

LineReader::LineReader(std::string path) : path_(std::move(path)) {
  REQUIRE(mkfifo(path_.c_str(), 0600) == 0);
}

void LineReader::Open() {
  fd_.Reset(open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
}

void LineReader::Read(uint64_t count, Milliseconds patience) {
  while (lines_ < count && last_.empty()) {
    pollfd polled = {fd_.get(), POLLIN, 0};
    if (poll(&polled, 1, static_cast<int>(patience.count())) <= 0) return;
    char buffer[65536];
    const ssize_t n = read(fd_.get(), buffer, sizeof(buffer));
    if (n <= 0) return;
    rest_.append(buffer, static_cast<size_t>(n));
    TakeLines();
  }
}

void LineReader::TakeLines() {
  size_t done = 0;
  while (true) {
    const size_t end = rest_.find('\n', done);
    if (end == std::string::npos) break;
    const std::string line = rest_.substr(done, end - done);
    done = end + 1;
    if (line.size() != kLine - 1 ||
        line.find_first_not_of("0123456789") != std::string::npos) {
      last_ = line;
      break;
    }
    const uint64_t number = std::stoull(line);
    in_order_ &= number >= next_;
    if (number > next_) {
      missing_ += number - next_;
      ++gaps_;
    }
    next_ = number + 1;
    ++lines_;
  }
  rest_.erase(0, done);
}

}  // namespace hydra::testing
