// The standard streams of one process of the container.
//
// The head opens what a request names and hands it to the monitor, which
// copies. What the container gets is closed here once the runtime has it. The
// descriptors and the copying outlive the head: after a takeover a Stdio made
// with the same configuration goes on with Adopt().
//
// Loop thread only.

#ifndef HYDRA_IO_STDIO_H_
#define HYDRA_IO_STDIO_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/event/async.h"
#include "shim/io/logger.h"
#include "shim/io/sink.h"
#include "shim/link/client.h"
#include "shim/runtime/runtime.h"

namespace hydra {

class Stdio final {
 public:
  // Where what the process writes is kept; see link/journal.h.
  struct Journal {
    uint64_t number = 0;  // 0: nowhere.
    std::string directory;
    uint64_t max_bytes = 0;
  };

  struct Config {
    uint64_t process = 0;  // Its number with the monitor.
    // The process whose place it takes: what that one has left behind comes
    // first. 0: none.
    uint64_t after = 0;
    bool terminal = false;
    std::string stdin_name;
    std::string stdout_name;
    std::string stderr_name;
    // Owner of the pipes' ends that the container gets.
    uid_t uid = 0;
    gid_t gid = 0;
    // What a logger is told: the container's id, or the exec's.
    std::string logger_id;
    std::string container_namespace;
    // For what the process writes.
    StreamSpool spool;
    Journal journal;
    // Where the runtime can reach a console socket: short, ours alone.
    std::string console_socket;
  };

  Stdio(EventLoop* loop, MonitorClient* monitor, Config config);
  Stdio(const Stdio&) = delete;
  Stdio& operator=(const Stdio&) = delete;

  // Opens all streams, or goes on with those that a head before us has opened
  // and not come to use: a client that saw its FIFO opened and closed again
  // would take it for the end, and what stdin's pipe holds has been read. The
  // descriptors in the result stay ours, until CloseContainerEnds(). On failure
  // nothing is left open. InvalidArgument: a name that is none; else "failed to
  // open …"-like, with the path.
  Async<absl::StatusOr<ProcessStdio>> Open();

  // The runtime has the streams already.
  Async<void> Adopt();

  // What the process writes goes there from now on, or nowhere.
  void SetJournal(Journal journal);

  // Writes to the process's input, once under this name. 0, or an errno: see
  // link::kStreamWrite.
  Async<int> Write(OperationKey key, std::string data);

  // To be called when the runtime has returned.
  void CloseContainerEnds();

  // The runtime has started the process: from here on output is the
  // process's own, and is copied.
  void StartOutput();

  // The process is gone. A terminal ends with it, when what it wrote is
  // copied; pipes end when the last one who has them closes them.
  void ProcessExited();

  // Lets the process see the end of its input once what is there is read.
  void CloseStdin();
  // A process without terminal, or before it has one: nothing happens.
  void Resize(uint16_t rows, uint16_t columns);

  // To be called on each change of a stream.
  void OnStream();
  // All outputs have ended.
  bool drained() const;

  // What the process has written is copied, then the streams end, though
  // others may still hold them. False if nothing is read for `limit`, or some
  // is not for `longest`: the rest stays unread.
  Async<bool> Drain(std::chrono::milliseconds limit,
                    std::chrono::milliseconds longest);
  // Ends all. What is not copied by then is lost.
  Async<void> Close();
  // The process is gone, and another is to have its streams: its input ends,
  // and its outputs end by themselves when they are copied. Those of a logger
  // are drained here, as Drain() does.
  Async<void> Leave(std::chrono::milliseconds limit,
                    std::chrono::milliseconds longest);

  // The stream's owner: the process's number.
  static uint64_t ProcessOf(uint64_t stream) { return stream / 4; }
  // How the outputs of a process stand, as the monitor said last: its
  // standard output, error, or console.
  struct Output {
    link::JournalTag stream;
    const link::StreamState* state;
  };
  static std::vector<Output> OutputsOf(const MonitorClient& monitor,
                                       uint64_t process);

 private:
  enum Slot : uint64_t { kStdin = 0, kStdout = 1, kStderr = 2, kConsole = 3 };
  static const std::pair<Slot, link::JournalTag> kOutputs[3];
  struct Names {
    SinkName in;
    SinkName out;
    SinkName err;
  };

  uint64_t Stream(Slot slot) const { return config_.process * 4 + slot; }
  uint64_t StreamBefore(Slot slot) const {
    return config_.after == 0 ? 0 : config_.after * 4 + slot;
  }
  // All that is open, until the runtime has it, is stored with the monitor
  // under this name: the heads after us find it there.
  uint64_t StoreName() const { return Stream(kStdin); }
  OpenMode Mode() const;
  // These append to opened_ ...
  absl::Status OpenSourceOfInput(const SinkName& in);
  absl::Status OpenSinkOf(const SinkName& name);
  absl::Status OpenPipe(Slot slot);
  absl::Status OpenPipes(const Names& names);
  absl::Status OpenConsole(const Names& names);
  // ... and these take from it, in the same order.
  int Take();
  void AddInput(const SinkName& in, ProcessStdio* stdio);
  void AddOutput(Slot slot, const SinkName& name, ProcessStdio* stdio);
  void AddPipes(const Names& names, ProcessStdio* stdio);
  void AddConsole(const Names& names, ProcessStdio* stdio);
  absl::StatusOr<Names> ParseNames() const;
  absl::StatusOr<UniqueFd> ListenForConsole() const;
  Async<absl::Status> OpenLogger(const SinkName& name);
  void KeepJournal();
  void EndStreams();
  // What has been copied of the outputs, as the monitor has it now.
  Async<uint64_t> CountCopied();

  EventLoop* const loop_;
  MonitorClient* const monitor_;
  Config config_;
  // The monitor's ends and the container's.
  std::vector<UniqueFd> opened_;
  size_t taken_ = 0;
  bool stored_ = false;
  std::unique_ptr<Logger> logger_;
  Future<bool> drained_;
};

}  // namespace hydra

#endif  // HYDRA_IO_STDIO_H_
