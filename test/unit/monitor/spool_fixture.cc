#include "test/unit/monitor/spool_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "shim/monitor/clock.h"

namespace hydra::monitor {

using link::StreamKind;
using link::StreamState;
using link::Type;

SpoolStreamFixture::SpoolStreamFixture() : head(AcceptReadyHead()) {}

void SpoolStreamFixture::AddStream(StreamKind kind, uint32_t flags,
                                   uint64_t max_bytes, link::SpoolPolicy policy,
                                   const std::vector<int>& fds) {
  link::StreamAdd body = {};
  body.stream = kStream;
  body.kind = static_cast<uint32_t>(kind);
  body.flags = flags;
  body.spool_max_bytes = max_bytes;
  body.spool_policy = static_cast<uint32_t>(policy);
  body.spool_stall_ms = kStallMs;
  head->Send(Type::kStreamAdd, 0, 0, body, path("spool"), fds);
}

void SpoolStreamFixture::Add(uint64_t max_bytes, link::SpoolPolicy policy) {
  REQUIRE(mkfifo(path("out").c_str(), 0600) == 0);
  const UniqueFd sink(
      open(path("out").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(sink.valid());
  Pipe source = MakePipe();
  AddStream(StreamKind::kOutput, 0, max_bytes, policy,
            {source.read.get(), sink.get()});
  source_ = std::move(source.write);
  fcntl(source_.get(), F_SETFL, O_NONBLOCK);
  (void)State();  // The monitor has its own descriptors now.
}

UniqueFd SpoolStreamFixture::OpenReader() const {
  UniqueFd fd(open(path("out").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(fd.valid());
  return fd;
}

int64_t SpoolStreamFixture::Write(std::string_view data) {
  int64_t longest = 0;
  while (!data.empty()) {
    const int64_t before = MonotonicNow();
    if (!Ready(source_.get(), POLLOUT, kPatience)) return INT64_MAX;
    longest = std::max(longest, MonotonicNow() - before);
    const ssize_t n = write(source_.get(), data.data(), data.size());
    if (n < 0 && errno == EAGAIN) continue;
    if (n <= 0) return INT64_MAX;
    data.remove_prefix(static_cast<size_t>(n));
  }
  return longest / kMillisecond;
}

size_t SpoolStreamFixture::WriteUntilBlocked(std::string_view data, int ms) {
  size_t written = 0;
  while (written < data.size()) {
    if (!Ready(source_.get(), POLLOUT, ms)) return written;
    const ssize_t n =
        write(source_.get(), data.data() + written, data.size() - written);
    if (n < 0 && errno == EAGAIN) continue;
    REQUIRE(n > 0);
    written += static_cast<size_t>(n);
  }
  return written;
}

StreamState SpoolStreamFixture::State() {
  head->Send(Type::kStreamsAsk);
  const auto state = head->Expect(Type::kStream).Body<StreamState>();
  CHECK(state.stream == kStream);
  head->Expect(Type::kStreamsTold);
  return state;
}

bool SpoolStreamFixture::WaitForSpooling(bool is_spooling) {
  return Eventually([&] { return (State().is_spooling == 1) == is_spooling; });
}

StreamState SpoolStreamFixture::ExpectEnd() {
  const auto state = head->Expect(Type::kStream).Body<StreamState>();
  CHECK(state.stream == kStream);
  CHECK(state.ended == 1);
  return state;
}

std::string NumberedLines(uint64_t first, uint64_t count) {
  std::string lines;
  lines.reserve(count * 16);
  char line[17];
  for (uint64_t i = first; i < first + count; ++i) {
    snprintf(line, sizeof(line), "%015llu\n",
             static_cast<unsigned long long>(i));
    lines.append(line, 16);
  }
  return lines;
}

}  // namespace hydra::monitor
