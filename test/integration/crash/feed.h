// Writes a FIFO as containerd's client does: it waits for the first reader, and
// what it writes to none is lost.
//
// Owns a thread, which opens the FIFO and writes what is queued; the methods
// are for the thread that made the object. SIGPIPE must be ignored.

#ifndef HYDRA_TEST_INTEGRATION_CRASH_FEED_H_
#define HYDRA_TEST_INTEGRATION_CRASH_FEED_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "test/integration/harness/session.h"

namespace hydra::testing {

class Feed final {
 public:
  // Makes the FIFO if it is not there.
  explicit Feed(const std::string& path);
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;

  void Write(const std::string& text);
  // Waits until all is written, and closes. False if something could not be, or
  // no reader came within `limit`.
  bool Close(Milliseconds limit);

 private:
  void Run();

  const std::string path_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string queue_;
  bool opened_ = false;
  bool closing_ = false;
  bool failed_ = false;
  std::thread thread_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_CRASH_FEED_H_
