// One instance: the container that it supervises, as the head knows it.
//
// What must survive the head is in the Record; an Instance is the Record, its
// file, and what can be made again from it: futures, timers, streams.
//
// What is durable when
//   A change of the record becomes durable with Save(), and only then may it
//   be told: to a caller, to the engine as an event, to the monitor as "I have
//   this exit". If we die before Save() it has not happened: the monitor tells
//   the exit again, or replays the request, and the same steps lead to the
//   same change. If we die after it, the record has the change, the event and
//   the answer.
//
// Exits
//   The init's exit is the last: it is told when all execs that run or are
//   being started have told theirs. An exit of a process that is being started
//   waits for the start to be told first.
//
// Loop thread only.

#ifndef HYDRA_TASK_INSTANCE_H_
#define HYDRA_TASK_INSTANCE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message_lite.h"
#include "google/protobuf/timestamp.pb.h"
#include "hydra/state.pb.h"
#include "shim/cgroup/cgroup.h"
#include "shim/cgroup/oom.h"
#include "shim/event/async.h"
#include "shim/events/publisher.h"
#include "shim/io/stdio.h"
#include "shim/link/client.h"
#include "shim/runtime/runtime.h"
#include "shim/state/paths.h"
#include "shim/state/record.h"
#include "shim/task/output_log.h"

namespace hydra {

class Instance final {
 public:
  struct Config {
    std::string id;
    std::string container_namespace;
    InstancePaths paths;
    std::string engine_address;        // gRPC. Empty: no engine.
    std::string state_directory;       // StateDirectory()
    std::string engine_ttrpc_address;  // Empty: no engine.
  };

  // What there is of a process beside its record. Shared, because a request
  // that waits may outlive the process.
  struct Live {
    explicit Live(EventLoop* loop) : mutex(loop) {}
    // Held by what starts, deletes, pauses or otherwise moves the process.
    AsyncMutex mutex;
    // Its exit is in the record, and may be told. Set to false for one that
    // could not be started.
    Future<bool> exited;
    // The same, though its exit is not told because another init takes its
    // place.
    Future<bool> gone;
    std::shared_ptr<Stdio> stdio;
    // An exit that came while the process was being started.
    std::optional<ProcessExit> held_exit;
  };

  Instance(EventLoop* loop, MonitorClient* monitor, Config config);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // Reads the record of a head before us, if there is one, and takes over what
  // it says. On an error (see RecordFile::Load) the file is left for the
  // operator, and nothing is known of the container.
  absl::Status Load();

  EventLoop* loop() const { return loop_; }
  MonitorClient* monitor() const { return monitor_; }
  const Config& config() const { return config_; }
  Publisher& publisher() { return publisher_; }
  state::Record& record() { return record_; }

  // Shutdown has removed all that there was on disk.
  bool IsRemoved() const;

  // The container, or null before Create has ended and after Delete.
  state::Container* container();
  // The init process (empty exec_id) or an exec, or null. Not before Create
  // has ended.
  state::Process* FindProcess(std::string_view exec_id);
  state::Process* FindNumber(uint64_t number);
  std::shared_ptr<Live> live(const state::Process& process) {
    return live_.at(process.number());
  }
  // Null without a container.
  std::shared_ptr<Runtime> runtime() const { return runtime_; }
  // Set when there is, or has been, a container that can be asked for.
  const Future<bool>& made() const { return made_; }

  // ---- changes ----
  // A new container, with its runtime; nothing is saved.
  state::Container& AddContainer(state::Container container);
  state::Process& AddExec(state::Process exec);
  // Puts a new process, which has not been created yet, into the place of the
  // init, which has gone and whose streams have been left.
  void ReplaceInit();
  // Forgets a process everywhere: record, streams, monitor.
  void RemoveExec(const state::Process& exec);
  void RemoveContainer();

  // Queues an event; it is sent once it is saved. What is not RANK_KEPT may be
  // dropped if the engine is away for long.
  void Emit(std::string_view topic,
            const google::protobuf::MessageLite& payload,
            state::EventRank rank = state::RANK_KEPT);
  // One that no engine knows: for the history alone.
  void EmitOwn(std::string_view topic,
               const google::protobuf::MessageLite& payload);
  // Events below this sequence number may be told, and what is set when it
  // rises.
  uint64_t told_events() const { return told_events_; }
  Future<bool> more_events() const { return more_events_; }
  // Something in the record is new: the next Save() is needed.
  void Touch() { dirty_ = true; }
  bool dirty() const { return dirty_; }
  // Makes the record durable and wakes the publisher. On an error, which is
  // also logged, the record in memory stands and is saved with the next change.
  absl::Status Save();

  // ---- exits ----
  // From the monitor.
  void OnExit(uint64_t process, ProcessExit exit);
  void OnStream(const link::StreamState& state);
  // Exits that waited for a start which has ended, well or not, go their way.
  // To be called when the start and its answer are saved.
  void Settle();
  // Whether nothing is under way: no process is being made or started, no event
  // waits for the engine, everything is saved.
  bool idle() const;
  // What becomes readable when there is something to do that the monitor does
  // not know of. Stay ours.
  std::vector<int> wake_fds() const;
  // Whether a process of the record is being started under the token.
  bool IsStarting(uint64_t token) const;
  // True once the init's process is gone, be its exit told or not.
  bool InitGone();

  // Called when a process has ended, the init for good or until it is started
  // again, and the record says so. Set once.
  void SetOnEnded(std::function<void(const state::Process&)> on_ended) {
    on_ended_ = std::move(on_ended);
  }

  // ---- the log ----
  // Of what the init writes; DataDirectory() has it.
  OutputLog& log() { return log_; }
  std::string data_directory() const {
    return DataDirectory(config_.state_directory, config_.paths);
  }
  // How the streams of a process are to keep the log now.
  Stdio::Journal JournalOf(const state::Process& process) const;

  // ---- cgroup ----
  // Looks up the cgroup of the init and watches it for OOM. Failures are
  // logged: a container without metrics is still a container.
  void EnterCgroup(int pid);
  std::optional<Cgroup> cgroup();
  void LeaveCgroup();
  // As the runtime has noted it; see Runtime::CgroupDirectories.
  absl::StatusOr<Cgroup> CgroupOfRuntime() const;

  // The streams of a process of the record.
  std::shared_ptr<Stdio> MakeStdio(const state::Process& process);

 private:
  Publisher::Handlers PublisherHandlers();
  state::Event* AddHistory(std::string_view topic,
                           const google::protobuf::MessageLite& payload);
  void TakeOver();
  void MakeRuntime();
  void EndTerminal(const state::Process& process);
  void HandleExecExit(state::Process& exec, const ProcessExit& exit);
  void HandleInitExit(const ProcessExit& exit);
  void FinishInitExit();
  Async<void> KillAll();
  Async<void> Thaw();
  // The monitor keeps the watch's descriptor for the heads to come, under a
  // name that is no stream's.
  static constexpr uint64_t kOomStore = ~uint64_t{0};
  void WatchOom();
  void ReadOom();
  void EmitExit(const state::Process& process);
  bool IsReplaced(const state::Process& init) const;
  bool ExecsActive();

  EventLoop* const loop_;
  MonitorClient* const monitor_;
  const Config config_;
  RecordFile file_;
  state::Record record_;
  bool dirty_ = false;
  bool save_failed_ = false;
  // Record.dropped_events when the outbox was last empty, or read.
  uint64_t dropped_before_ = 0;
  uint64_t told_events_ = 0;
  Future<bool> more_events_;
  std::function<void(const state::Process&)> on_ended_;
  OutputLog log_;
  Future<bool> made_;
  std::map<uint64_t, std::shared_ptr<Live>> live_;
  std::shared_ptr<Runtime> runtime_;
  std::unique_ptr<OomWatcher> oom_;
  EventLoop::Registration oom_watch_;
  Publisher publisher_;
};

// Unix nanoseconds.
int64_t UnixNow();

// Go's zero time if `nanoseconds` is 0, which is how containerd says "not yet".
google::protobuf::Timestamp ToTimestamp(int64_t nanoseconds);

}  // namespace hydra

#endif  // HYDRA_TASK_INSTANCE_H_
