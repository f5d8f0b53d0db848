// Those whom the monitor talks to, as the tests play them: a head whose link
// the test holds, and an engine's connection. All waits have a deadline and
// fail the test when it passes.

#ifndef HYDRA_TEST_UNIT_MONITOR_PEERS_H_
#define HYDRA_TEST_UNIT_MONITOR_PEERS_H_

#include <sys/types.h>

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/channel.h"
#include "shim/link/protocol.h"
#include "test/unit/base/pipe.h"

namespace hydra::monitor {

// Milliseconds; generous, for sanitizers and valgrind on a busy machine.
inline constexpr int kPatience = 20'000;

// Whether `fd` is ready for `events` of poll(2) within `timeout_ms`.
bool Ready(int fd, short events, int timeout_ms);
// Polls `condition` until it holds or `timeout_ms` is over.
bool Eventually(const std::function<bool()>& condition,
                int timeout_ms = kPatience);
// Reads exactly `size` bytes, or up to end of file.
std::string ReadBytes(int fd, size_t size);
void WriteBytes(int fd, std::string_view data);
// Connects to a unix socket.
UniqueFd ConnectTo(const std::string& path);
// Sends a message with these descriptors, as a runtime does with a console.
void SendFds(int connection, const std::vector<int>& fds);

// A head whose link the test holds.
class FakeHead {
 public:
  // The next message, within kPatience.
  link::Message Next();
  // The next one, which must be of this type.
  link::Message Expect(link::Type type);
  // Whether nothing comes for `ms`.
  bool IsQuiet(int ms = 50);
  // Whether the monitor closes the link, within kPatience.
  bool SeesEnd();

  void Send(link::Type type, uint64_t token = 0, uint32_t step = 0);
  template <typename T>
  void Send(link::Type type, uint64_t token, uint32_t step, const T& body,
            std::string_view tail = {}, const std::vector<int>& fds = {}) {
    writer.Add(type, token, step, body, tail, fds);
    Flush();
  }
  void Flush();

  // Says kHello; what comes up to, and without, kSynced. The first is checked
  // to be kWelcome. Requests among it are the first that Next() gives.
  std::vector<link::Message> Hello();

  void Respond(uint64_t token, std::string_view payload);
  struct Fd {
    int fd;
    int target;
  };
  void Spawn(uint64_t token, uint32_t step,
             const std::vector<std::string>& argv, uint32_t flags = 0,
             const std::vector<Fd>& fds = {},
             const std::vector<std::string>& env = {});
  void Shell(uint64_t token, uint32_t step, const std::string& script,
             uint32_t flags = 0, const std::vector<Fd>& fds = {});
  void SignalSpawn(uint64_t token, uint32_t step, uint64_t target_token,
                   uint32_t target_step, int signal);
  void SignalProcess(uint64_t token, uint32_t step, uint64_t process,
                     int signal);
  void Claim(uint64_t process, pid_t pid);
  void Publish(uint64_t token, uint32_t step, const std::string& address,
               const std::string& request, uint32_t timeout_ms = 0);
  void StreamAdd(uint64_t stream, link::StreamKind kind, uint32_t flags,
                 const std::vector<int>& fds);
  void StreamRef(link::Type type, uint64_t stream);

  struct UpgradeWish {
    std::string monitor = {};  // Empty: the one that runs.
    std::string head = {};
    std::vector<std::string> head_arguments = {"--check"};
    uint32_t flags = 0;
  };
  void Upgrade(uint64_t token, uint32_t step, const UpgradeWish& wish);

  // SIGKILL, from outside as from the OOM killer. Its link is closed.
  void Kill();
  // Lets it exit with `status`.
  void Exit(int status);

  pid_t pid = 0;
  bool is_ready = false;  // After Hello.
  std::deque<link::Message> replayed;
  UniqueFd link;
  UniqueFd control;
  link::Reader reader;
  link::Writer writer;
};

struct Response {
  uint32_t stream_id = 0;
  uint8_t type = 0;
  std::string payload;
};

// An engine's ttrpc connection.
class Client {
 public:
  explicit Client(const std::string& path);
  // One that was accepted: the engine as the server of events.
  explicit Client(UniqueFd connected) : fd(std::move(connected)) {}
  void SendRaw(std::string_view bytes);
  void Send(uint32_t stream_id, std::string_view payload, uint8_t type = 1,
            uint8_t flags = 0);
  Response Receive();
  UniqueFd fd;
};

std::string MakeFrame(uint32_t stream_id, std::string_view payload,
                      uint8_t type = 1, uint8_t flags = 0);

}  // namespace hydra::monitor

#endif  // HYDRA_TEST_UNIT_MONITOR_PEERS_H_
