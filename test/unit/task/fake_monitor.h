// The monitor as the head sees it, played by a test: it speaks
// shim/link/protocol.h, remembers operations, exits, streams and unanswered
// requests across heads, and starts nothing. What a spawn comes to is the
// test's to say.
//
// On the loop of the head that is connected.

#ifndef HYDRA_TEST_UNIT_TASK_FAKE_MONITOR_H_
#define HYDRA_TEST_UNIT_TASK_FAKE_MONITOR_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/event/event_loop.h"
#include "shim/link/channel.h"
#include "shim/link/client.h"
#include "shim/link/protocol.h"

namespace hydra {

class FakeMonitor final {
 public:
  struct Spawn {
    OperationKey key;
    uint32_t flags = 0;
    std::vector<std::string> argv;
    std::vector<std::string> env;
    // By number in the child.
    std::map<int, UniqueFd> fds;
  };
  struct SpawnResult {
    int error = 0;
    // Absent: it goes on, until EndSpawn().
    std::optional<int> wait_status = 0;
  };

  struct Publish {
    OperationKey key;
    std::string address;
    std::string request;
    std::chrono::milliseconds timeout{0};
  };

  struct UpgradeOrder {
    OperationKey key;
    uint32_t flags = 0;
    // The tail of kUpgrade.
    std::vector<std::string> strings;
  };

  FakeMonitor() = default;
  FakeMonitor(const FakeMonitor&) = delete;
  FakeMonitor& operator=(const FakeMonitor&) = delete;

  // A new head's side, which is told all that is known. The link to a head
  // before is dropped.
  std::unique_ptr<MonitorClient> Connect(EventLoop* loop);
  void Disconnect();

  // What becomes of a program that is started, and of a signal: an errno.
  std::function<SpawnResult(const Spawn&)> on_spawn;
  std::function<int(const link::Signal&)> on_signal;
  // What becomes of an event; nullopt: it goes on, until EndPublish(). Without
  // it all do.
  std::function<std::optional<Publication>(const Publish&)> on_publish;

  // How a stream stands that the head finishes or asks for; by default it has
  // ended.
  std::function<link::StreamState()> on_stream;

  // ---- requests ----
  uint64_t SendRequest(std::string payload, link::Request info = {});
  void Cancel(uint64_t token);
  // The connection of the request went while no head was there.
  void DropRequest(uint64_t token) { requests_.erase(token); }
  // Takes an answer back, as if the head had died before it could give it.
  void TakeBackAnswer(uint64_t token);
  // The payload, or null.
  const std::string* AnswerTo(uint64_t token) const;

  // ---- what ends ----
  void EndSpawn(OperationKey key, int wait_status);
  void EndPublish(OperationKey key, Publication result);
  // Of a claimed process.
  void EndProcess(uint64_t process, int wait_status);
  // Tells the end of a process again, though the head has consumed it.
  void TellAgain(uint64_t process);
  // An upgrade that was ordered; `texts` as link/protocol.h has them.
  void EndUpgrade(OperationKey key, int error, int64_t paused,
                  const std::vector<std::string>& texts);

  // ---- what the head has asked for ----
  // All that was started, in order.
  const std::vector<Spawn>& spawns() const { return spawns_; }
  const std::vector<link::Signal>& signals() const { return signals_; }
  // What went to the engine: a name that is known is not sent again.
  const std::vector<Publish>& publishes() const { return publishes_; }
  size_t known_publications() const { return publications_.size(); }
  const std::vector<UpgradeOrder>& upgrades() const { return upgrades_; }
  // By process; what the head has forgotten is not there.
  const std::map<uint64_t, int>& claims() const { return claims_; }
  // As if the head had died before the claim was read.
  void LoseClaim(uint64_t process) { claims_.erase(process); }
  const std::set<uint64_t>& streams() const { return streams_; }
  bool stores_anything() const { return !stored_.empty(); }
  bool KnowsToken(uint64_t token) const;
  bool quit() const { return quit_; }

 private:
  struct Request {
    link::Request info;
    std::string payload;
  };
  struct Operation {
    link::Operation result = {};
    std::optional<link::Exit> exit;
    UniqueFd kept;
    bool pending = false;
    std::string text;
  };

  void OnReadable();
  void Take(link::Message message);
  void TakeSpawn(link::Message message);
  void TakeSignal(const link::Message& message);
  void TakePublish(const link::Message& message);
  void TellPublication(OperationKey key);
  void TakeUpgrade(const link::Message& message);
  void ForgetToken(uint64_t token);
  void Replay();
  void TellStream(uint64_t stream);
  void TellOperation(OperationKey key, bool replay);
  template <typename T>
  void Tell(link::Type type, uint64_t token, uint32_t step, const T& body,
            std::string_view tail = {}, const std::vector<int>& fds = {}) {
    if (!link_.valid()) return;
    writer_.Add(type, token, step, body, tail, fds);
    writer_.FlushAll(link_.get());
  }

  EventLoop* loop_ = nullptr;
  UniqueFd link_;
  EventLoop::Registration readable_;
  link::Reader reader_;
  link::Writer writer_;
  uint64_t generation_ = 0;
  uint64_t next_token_ = 1;
  int next_pid_ = 4'300'000;
  std::map<uint64_t, Request> requests_;
  std::map<uint64_t, std::string> answers_;
  // Answered, in case the answer is taken back.
  std::map<uint64_t, Request> answered_;
  std::map<OperationKey, Operation> operations_;
  std::vector<Spawn> spawns_;
  std::vector<link::Signal> signals_;
  std::vector<Publish> publishes_;
  std::map<OperationKey, std::optional<Publication>> publications_;
  std::vector<UpgradeOrder> upgrades_;
  std::map<uint64_t, int> claims_;
  std::map<uint64_t, link::Exit> exits_;
  std::map<uint64_t, link::Exit> consumed_exits_;
  std::set<uint64_t> streams_;
  std::map<uint64_t, std::vector<UniqueFd>> stored_;
  bool quit_ = false;
};

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_TASK_FAKE_MONITOR_H_
