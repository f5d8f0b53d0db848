// The head's side of the link: requests in, responses out, operations done by
// the monitor exactly once.
//
// Loop thread only. A lost monitor ends the head: there is nothing that it
// could still do for anybody.

#ifndef HYDRA_LINK_CLIENT_H_
#define HYDRA_LINK_CLIENT_H_

#include <chrono>
#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/link/channel.h"
#include "shim/link/journal.h"
#include "shim/link/protocol.h"

namespace hydra {

// The name of an operation; see link/protocol.h.
struct OperationKey {
  uint64_t token = 0;
  uint32_t step = 0;
  auto operator<=>(const OperationKey&) const = default;
};

struct ProcessExit {
  int pid = 0;
  int wait_status = 0;    // As of waitpid(2), or link::kNoSuchChild.
  int64_t exited_at = 0;  // Unix nanoseconds.

  // The exit code, or 128 + the signal's number, as containerd has it.
  uint32_t status() const;
};

struct SpawnRequest {
  std::vector<std::string> argv;
  // Exactly this environment; absent: the monitor's.
  std::optional<std::vector<std::string>> env;
  // What the child gets: (its number, our descriptor). Stay the caller's.
  std::vector<std::pair<int, int>> fds;
  // The child's descendants may outlive it and become ours.
  bool adopts = false;
  // Stays with the monitor for the next head; see Operation::kept.
  int kept_fd = -1;
};

// How the monitor keeps a stream's output while nobody reads it; see
// link::StreamAdd.
struct StreamSpool {
  std::string directory;
  uint64_t max_bytes = 0;
  link::SpoolPolicy policy = link::SpoolPolicy::kBlock;
  uint32_t stall_ms = 0;
};

// What became of an event; see link::Published.
struct Publication {
  int error = 0;
  bool ambiguous = false;
  std::string response;  // The payload of the response frame.
};

// See "Upgrade" in link/protocol.h.
struct UpgradeOrder {
  std::string monitor;  // Empty: the one that runs.
  std::string head;
  std::string head_version;  // Of the head that asks.
  // With which the head's program is tried.
  std::vector<std::string> head_arguments;
  bool trial_only = false;
};

struct UpgradeOutcome {
  int error = 0;  // An errno.
  int64_t paused = 0;
  std::string monitor_from;
  std::string monitor_to;
  std::string head_from;
  std::string head_to;
  std::string reason;
};

struct MonitorStatus {
  link::Status numbers = {};
  std::string version;
  std::string program;
};

class MonitorClient final {
 public:
  struct Request {
    uint64_t token;
    link::Request info;
    std::string payload;
  };
  // Called on the loop. Set before Run() of the loop; all are required.
  struct Handlers {
    std::function<void(Request)> on_request;
    // The connection of an unanswered request is gone.
    std::function<void(uint64_t token)> on_cancelled;
    // A claimed process has ended: told until ForgetProcess().
    std::function<void(uint64_t process, ProcessExit)> on_exit;
    std::function<void(const link::StreamState&)> on_stream;
    std::function<void()> on_monitor_lost;
  };

  // Says hello over `fd` and takes all that is known, up to kSynced; what the
  // monitor replays as exits and requests is delivered by Serve(). Unavailable
  // if the monitor goes away meanwhile.
  static absl::StatusOr<std::unique_ptr<MonitorClient>> Connect(EventLoop* loop,
                                                                UniqueFd fd);
  MonitorClient(const MonitorClient&) = delete;
  MonitorClient& operator=(const MonitorClient&) = delete;

  const link::Welcome& welcome() const { return welcome_; }
  // Whether heads before us left claimed processes.
  bool inherits_processes() const { return inherits_processes_; }

  // Delivers what was taken in Connect() and all that comes from now on.
  absl::Status Serve(Handlers handlers);

  // The request only waits from here on: see link/protocol.h.
  void Park(uint64_t token);
  // Answers a request and forgets the operations of its token.
  void Respond(uint64_t token, std::string_view payload);

  // ---- operations ----
  // Whether the operation was asked for, by this head or by one before it.
  bool Knows(OperationKey key) const { return operations_.contains(key); }
  // Tokens that have operations, ascending.
  std::vector<uint64_t> OperationTokens() const;
  // The highest step below `limit` of the token's operations; 0 if there is
  // none.
  uint32_t LastStep(uint64_t token, uint32_t limit) const;
  // Starts a program, unless an operation of that name is known: then the
  // result is that one's. The pid, or the error of fork(2) or execve(2).
  Async<absl::StatusOr<int>> Spawn(OperationKey key, SpawnRequest request);
  // Waits for the end of a spawn that worked.
  Async<ProcessExit> WaitExit(OperationKey key);
  // The same, for a caller that waits for something else too.
  Future<ProcessExit> ExitOf(OperationKey key) { return FindOrAdd(key).exit; }
  // The descriptor left with the monitor by a spawn of a head before us; -1 if
  // there is none. Stays ours.
  int KeptFd(OperationKey key) const;
  // Signals a claimed process. 0 or kill(2)'s errno; ESRCH once it is reaped.
  Async<int> SignalProcess(OperationKey key, uint64_t process, int signal);
  // Signals a spawned program; no answer is waited for.
  void SignalSpawn(OperationKey key, OperationKey target, int signal);
  // Sends a ttrpc request, the payload of its frame, to the engine's socket at
  // `address`, unless one of that name has been sent: then the result is that
  // one's. `timeout` is for the answer; until there is a result, this waits.
  Async<Publication> Publish(OperationKey key, std::string address,
                             std::string request,
                             std::chrono::milliseconds timeout);
  // Tokens that have publications, ascending: of this head, and those with a
  // result of heads before.
  std::vector<uint64_t> PublicationTokens() const;
  // Lets the monitor execute another program. If that works, this head is
  // killed, and the next one gets the outcome of the same operation.
  Async<UpgradeOutcome> Upgrade(OperationKey key, UpgradeOrder order);
  void ForgetToken(uint64_t token);
  // An internal token that no operation has.
  uint64_t NewInternalToken();

  // What the monitor holds now. Not set by a monitor that does not know the
  // question. `key` names nothing else.
  Future<MonitorStatus> Inspect(OperationKey key);

  // ---- processes ----
  void Claim(uint64_t process, int pid);
  void ForgetProcess(uint64_t process);

  // ---- streams ----
  void AddStream(uint64_t stream, link::StreamKind kind, uint32_t flags,
                 const std::vector<int>& fds, const StreamSpool& spool = {},
                 uint64_t after = 0);
  void CloseStream(uint64_t stream);
  void StartStream(uint64_t stream);
  void FinishStream(uint64_t stream);
  void CloseStreamStdin(uint64_t stream);
  void ResizeStream(uint64_t stream, uint16_t rows, uint16_t columns);
  // What an output or a console writes goes to the journal too; 0: no more.
  void SetStreamJournal(uint64_t stream, uint64_t journal,
                        link::JournalTag tag);
  // Writes to an input or a console. 0, or an errno: see link::kStreamWrite.
  Async<int> WriteStream(OperationKey key, uint64_t stream, std::string data);
  // Asks how the streams stand; set once FindStream() knows. A monitor of an
  // older release does not answer.
  Future<bool> AskStreams();
  // The last that the monitor said of a stream.
  const link::StreamState* FindStream(uint64_t stream) const;

  // ---- journals: link/journal.h ----
  void OpenJournal(uint64_t journal, const std::string& directory,
                   uint64_t max_bytes);
  void CloseJournal(uint64_t journal);

  // ---- descriptor store ----
  void Store(uint64_t name, const std::vector<int>& fds);
  void Unstore(uint64_t name);
  // Descriptors that a head before us stored; empty if there are none.
  std::vector<UniqueFd> TakeStored(uint64_t name);

  // ---- end ----
  // This head has nothing to do, and nothing that it waits for but parked
  // requests, exits and `wake` becoming readable. If that is so for the monitor
  // too, on_monitor_lost is called; nothing may be sent after this unless
  // something is received.
  void Rest(const std::vector<int>& wake);
  // Whether the link, should it be lost now, is lost because of Rest().
  bool resting() const { return resting_; }
  // Messages either way: where it has not changed, nothing has happened.
  uint64_t traffic() const { return taken_ + writer_.messages(); }
  // Set once the listening socket is closed and its name removed.
  Future<bool> CloseListener();
  void Quit();

 private:
  struct Operation {
    Future<link::Operation> result;
    Future<ProcessExit> exit;
    UniqueFd kept;
    std::string text;  // The tail of kOperation.
  };

  MonitorClient(EventLoop* loop, UniqueFd fd);
  absl::Status Synchronise();
  void OnReadable();
  void Take(link::Message message);
  void TakeExit(const link::Message& message);
  void Flush();
  Operation& FindOrAdd(OperationKey key) { return operations_[key]; }
  // Sends the operation, unless one of that name was asked for; its result.
  template <typename Body>
  Future<link::Operation> AskOnce(link::Type type, OperationKey key,
                                  const Body& body, std::string_view tail = {},
                                  const std::vector<int>& fds = {}) {
    const auto [entry, is_new] = operations_.try_emplace(key);
    if (is_new) {
      writer_.Add(type, key.token, key.step, body, tail, fds);
      Flush();
    }
    return entry->second.result;
  }
  static MonitorStatus StatusIn(const link::Message& message);

  EventLoop* const loop_;
  const UniqueFd fd_;
  link::Reader reader_;
  link::Writer writer_;
  EventLoop::Registration readable_;
  Handlers handlers_;
  link::Welcome welcome_ = {};
  uint64_t taken_ = 0;
  bool resting_ = false;
  bool synced_ = false;
  bool inherits_processes_ = false;
  bool serving_ = false;
  std::vector<Request> early_requests_;
  std::vector<std::pair<uint64_t, ProcessExit>> early_exits_;
  std::map<OperationKey, Operation> operations_;
  std::map<OperationKey, Future<Publication>> publications_;
  std::map<OperationKey, Future<MonitorStatus>> inspections_;
  std::map<uint64_t, link::StreamState> streams_;
  std::map<uint64_t, std::vector<UniqueFd>> stored_;
  uint64_t next_internal_ = link::kInternalToken | (uint64_t{1} << 32);
  Future<bool> listener_closed_;
  std::deque<Future<bool>> streams_asked_;  // Answered in order.
};

}  // namespace hydra

#endif  // HYDRA_LINK_CLIENT_H_
