// Reads a FIFO as containerd's client does: from its first writer on, to the
// first moment without one. What comes after that nobody would ever read.
//
// Owns a thread, which sees the end of file when it happens; the methods are
// for the thread that made the object.

#ifndef HYDRA_TEST_INTEGRATION_CRASH_DRAIN_H_
#define HYDRA_TEST_INTEGRATION_CRASH_DRAIN_H_

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {

class Drain final {
 public:
  // Makes the FIFO if it is not there.
  explicit Drain(const std::string& path);
  ~Drain();
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  // False at the limit, or at the end of a file without `text`.
  bool ReadUntil(const std::string& text, Milliseconds limit);
  // All of it; nullopt if the end has not come at the limit.
  std::optional<std::string> ReadToEnd(Milliseconds limit);

 private:
  void Run();

  const std::string path_;
  UniqueFd fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string data_;
  bool ended_ = false;
  bool cancelled_ = false;
  std::thread thread_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_CRASH_DRAIN_H_
