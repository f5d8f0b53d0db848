// The reading end of a FIFO that a container writes numbered lines to: whether
// each has come, once and in order.
//
// One thread per object.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_LINE_READER_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_LINE_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {

// Remembers where it was when it is closed, as an engine would that keeps what
// it reads.
class LineReader final {
 public:
  // Of a line of the payloads, with its end.
  static constexpr size_t kLine = 16;

  // Makes the FIFO; fails the running test if it cannot.
  explicit LineReader(std::string path);
  void Open();
  void Close() { fd_.Reset(); }

  // Reads until there are `count` lines, a line that has no number, or nothing
  // for `patience`.
  void Read(uint64_t count, Milliseconds patience = kPatience);

  uint64_t lines() const { return lines_; }
  // How many numbers were left out, in how many places; numbers only grow.
  uint64_t missing() const { return missing_; }
  uint64_t gaps() const { return gaps_; }
  bool in_order() const { return in_order_; }
  uint64_t next() const { return next_; }
  // The line without number.
  const std::string& last() const { return last_; }

 private:
  void TakeLines();

  const std::string path_;
  UniqueFd fd_;
  std::string rest_;
  std::string last_;
  uint64_t lines_ = 0;
  uint64_t next_ = 0;
  uint64_t missing_ = 0;
  uint64_t gaps_ = 0;
  bool in_order_ = true;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_LINE_READER_H_
