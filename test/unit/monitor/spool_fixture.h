// An output stream with a spool, between a container and a reader that the
// test plays.

#ifndef HYDRA_TEST_UNIT_MONITOR_SPOOL_FIXTURE_H_
#define HYDRA_TEST_UNIT_MONITOR_SPOOL_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shim/base/unique_fd.h"
#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {

class SpoolStreamFixture : public MonitorFixture {
 public:
  static constexpr uint64_t kStream = 1;
  static constexpr uint32_t kStallMs = 20;

  SpoolStreamFixture();

  // Adds a stream with a spool in path("spool").
  void AddStream(link::StreamKind kind, uint32_t flags, uint64_t max_bytes,
                 link::SpoolPolicy policy, const std::vector<int>& fds);
  // Adds an output from source() to the FIFO path("out"), without a reader.
  void Add(uint64_t max_bytes,
           link::SpoolPolicy policy = link::SpoolPolicy::kBlock);
  UniqueFd OpenReader() const;

  // The container's end; non-blocking.
  UniqueFd& source() { return source_; }
  // Writes all of it, and returns the longest time in milliseconds that the
  // pipe had no room for some of it; INT64_MAX if it was not taken. Any thread.
  int64_t Write(std::string_view data);
  // Writes until the pipe has had no room for `ms`; how much was taken.
  size_t WriteUntilBlocked(std::string_view data, int ms);

  link::StreamState State();
  // Waits until the stream spools, or does not.
  bool WaitForSpooling(bool is_spooling);
  link::StreamState ExpectEnd();

  std::shared_ptr<FakeHead> head;

 private:
  UniqueFd source_;
};

// Numbered lines of 16 bytes, `count` from `first` on.
std::string NumberedLines(uint64_t first, uint64_t count);

}  // namespace hydra::monitor

#endif  // HYDRA_TEST_UNIT_MONITOR_SPOOL_FIXTURE_H_
