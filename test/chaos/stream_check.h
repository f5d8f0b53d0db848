// The reading end of a checked stream (payloads/checked-stream.h): byte for
// byte what was written, or where it is not.

#ifndef HYDRA_TEST_CHAOS_STREAM_CHECK_H_
#define HYDRA_TEST_CHAOS_STREAM_CHECK_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/session.h"

extern "C" {
#include "test/payloads/checked-stream.h"
}

namespace hydra::testing {

// Takes the stream piece by piece.
class StreamChecker final {
 public:
  explicit StreamChecker(uint64_t seed) { StreamStart(&expected_, seed); }

  void Take(std::string_view data);

  // The end was there, with the right count and sum.
  bool ended() const { return ended_; }
  // Of the generator's.
  uint64_t bytes() const { return expected_.count; }
  // What is wrong, and where; empty while nothing is.
  const std::string& error() const { return error_; }

 private:
  void TakeByte(unsigned char byte);
  void Fail(const std::string& what);

  StreamGenerator expected_;
  uint64_t offset_ = 0;
  size_t header_left_ = 0;
  size_t chunk_left_ = 0;
  std::string trailer_;
  bool in_trailer_ = false;
  bool ended_ = false;
  std::string error_;
};

// A process's standard output: where the shim is told to write it, and the
// reader. The FIFO is held open from before the process until after its
// deletion, whoever dies meanwhile. One thread, but for the reader's own.
class StreamSink final {
 public:
  enum class Kind { kFifo, kFile };
  // `path` is made, and removed at the end.
  StreamSink(Kind kind, std::string path, uint64_t seed);
  ~StreamSink();
  StreamSink(const StreamSink&) = delete;
  StreamSink& operator=(const StreamSink&) = delete;

  // As `stdout` of a request.
  std::string name() const;
  // Until there is some output: the process is up. False at the limit.
  bool WaitForOutput(Milliseconds limit = kPatience);
  // After the process's deletion, which has drained everything: takes what is
  // left. The result stays valid.
  const StreamChecker& Finish();

 private:
  void Read();
  // Everything there is.
  void Drain();

  const Kind kind_;
  const std::string path_;
  UniqueFd fd_;
  UniqueFd stop_;
  StreamChecker checker_;
  std::atomic<bool> has_output_ = false;
  std::thread reader_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_CHAOS_STREAM_CHECK_H_
