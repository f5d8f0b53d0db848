// Runs hydra-monitor in a directory of its own, and plays its surroundings:
// `start`, the engine, and the head, whose messages the test scripts.
//
// All waits have a deadline and fail the test when it passes.

#ifndef HYDRA_TEST_UNIT_MONITOR_MONITOR_FIXTURE_H_
#define HYDRA_TEST_UNIT_MONITOR_MONITOR_FIXTURE_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/protocol.h"
#include "test/unit/monitor/peers.h"

namespace hydra::monitor {

class MonitorFixture {
 public:
  struct Options {
    const char* head = HYDRA_FAKE_HEAD;
    // RLIMIT_NOFILE of the monitor, soft and hard; 0 leaves it.
    rlim_t file_limit = 0;
    bool expect_failure = false;
    bool starts_with_head = false;
    // Before "--".
    std::vector<std::string> arguments = {};
  };
  MonitorFixture() : MonitorFixture(Options{}) {}
  explicit MonitorFixture(const Options& options);
  // Lets the monitor quit by its last head, if that is still connected, and
  // checks how it ends; otherwise kills it. Ends its children first.
  ~MonitorFixture();

  // The next head that starts.
  std::shared_ptr<FakeHead> AcceptHead();
  // The same, and through Hello.
  std::shared_ptr<FakeHead> AcceptReadyHead();
  bool HeadComes(int timeout_ms);

  Client Connect() { return Client(socket_path()); }
  // One request from the client to the head; the message kRequest.
  link::Message Deliver(Client& client, FakeHead& head, uint32_t stream_id,
                        std::string_view payload);

  // Kills, and waits for the exit status of the monitor.
  int WaitForEnd();
  bool IsAlive();

  std::string socket_path() const { return directory_ + "/c.sock"; }
  std::string path(const char* name) const { return directory_ + "/" + name; }
  pid_t pid() const { return pid_; }
  const std::string& ready() const { return ready_; }
  // What has been logged so far.
  std::string Log();
  // Descriptors that the monitor has open.
  int FdCount() const;
  // How often it has gone to sleep so far: what does not wake up works not.
  int64_t WakeUps() const;
  // The processor time that it has taken.
  std::chrono::milliseconds ProcessorTime() const;
  std::vector<pid_t> Children() const;
  // Whether it comes to sleep through 300 ms, soon.
  bool ComesToRest();

 private:
  void StartMonitor(const Options& options);
  [[noreturn]] void ExecMonitor(const Options& options, int listener,
                                int ready_pipe, int log);

  std::string directory_;
  UniqueFd control_;
  pid_t pid_ = 0;
  std::string ready_;
  std::shared_ptr<FakeHead> last_head_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_TEST_UNIT_MONITOR_MONITOR_FIXTURE_H_
