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
  struct Config {
    uint64_t process = 0;  // Its number with the monitor.
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

  // What the process has written is copied, then the streams end, though
  // others may still hold them. False if nothing is read for `limit`, or some
  // is not for `longest`: the rest stays unread.
  Async<bool> Drain(std::chrono::milliseconds limit,
                    std::chrono::milliseconds longest);
  // Ends all. What is not copied by then is lost.
  Async<void> Close();

  // The stream's owner: the process's number.
  static uint64_t ProcessOf(uint64_t stream) { return stream / 4; }

 private:
  enum Slot : uint64_t { kStdin = 0, kStdout = 1, kStderr = 2, kConsole = 3 };

  uint64_t Stream(Slot slot) const { return config_.process * 4 + slot; }
  // All that is open, until the runtime has it, is stored with the monitor
  // under this name: the heads after us find it there.
  uint64_t StoreName() const { return Stream(kStdin); }
  OpenMode Mode() const;
  // These append to opened_ ...
  absl::Status OpenSourceOfInput();
  absl::Status OpenSinkOf(const SinkName& name);
  absl::Status OpenPipe(Slot slot);
  absl::Status OpenPipes(const SinkName& out, const SinkName& err);
  absl::Status OpenConsole(const SinkName& out);
  // ... and these take from it, in the same order.
  int Take();
  void AddInput(ProcessStdio* stdio);
  void AddOutput(Slot slot, int sink, ProcessStdio* stdio);
  void AddPipes(const SinkName& out, const SinkName& err, ProcessStdio* stdio);
  void AddConsole(const SinkName& out, ProcessStdio* stdio);
  absl::StatusOr<UniqueFd> ListenForConsole() const;
  Async<absl::Status> OpenLogger(const SinkName& name);
  void EndStreams();
  bool Drained() const;
  // What has been copied of the outputs, as the monitor has it now.
  Async<uint64_t> CountCopied();

  EventLoop* const loop_;
  MonitorClient* const monitor_;
  const Config config_;
  // The monitor's ends and the container's.
  std::vector<UniqueFd> opened_;
  size_t taken_ = 0;
  bool stored_ = false;
  std::unique_ptr<Logger> logger_;
  Future<bool> drained_;
};

}  // namespace hydra

#endif  // HYDRA_IO_STDIO_H_
