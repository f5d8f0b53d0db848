// The monitor of one container: its state, and the loop that owns it.
//
// One thread, one epoll instance, nothing that waits anywhere else. It ends
// for one reason only, kQuit; signals are logged and ignored, and a head that
// dies is started again. The parts are in the files of their names:
//   server.h        the listening socket, connections, unanswered requests
//   head_process.h  the head as a process, and the link to it
//   operations.h    what heads asked for, done once
//   publications.h  the same for events, sent over engine.h
//   processes.h     claimed processes and their exits, exit_file.h on disk
//   stream.h        the container's stdio
//   journal.h       what it has written, kept on disk
//   grpc_process.h  who speaks gRPC, for clients that do
//   upgrade.h       another version in this one's place; state.h what it gets

#ifndef HYDRA_MONITOR_MONITOR_H_
#define HYDRA_MONITOR_MONITOR_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/channel.h"
#include "shim/monitor/clock.h"
#include "shim/monitor/exit_file.h"
#include "shim/monitor/grpc_process.h"
#include "shim/monitor/head_process.h"
#include "shim/monitor/journal.h"
#include "shim/monitor/operations.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/processes.h"
#include "shim/monitor/publications.h"
#include "shim/monitor/server.h"
#include "shim/monitor/state.h"
#include "shim/monitor/stream.h"
#include "shim/monitor/upgrade.h"

namespace hydra::monitor {

// All strings outlive the monitor.
struct MonitorOptions {
  const char* directory = nullptr;    // Made the working directory.
  const char* socket_path = nullptr;  // What the listener is bound to.
  std::vector<const char*> head_argv;
  // The cgroups that this process was put into for its life, to be left and
  // removed after it: see LeaveCgroups.
  std::vector<const char*> cgroups;
  int listen_fd = -1;  // Taken.
  // The first head, if it has been started already: our child, and the link to
  // it, taken.
  pid_t head_pid = 0;
  int head_fd = -1;
};

class Monitor {
 public:
  explicit Monitor(MonitorOptions options);

  // Everything that may fail. Returns 0, or an errno with *what the operation:
  // a bad directory, a head that cannot be executed, no descriptors.
  int Open(const char** what);

  // Instead of Open: takes over from the program that executed this one, whose
  // state `state_fd` is. Goes back to it, by `previous_fd`, if that fails;
  // returns 0, or an errno if there is no way back (-1). `failed` is why we
  // have come back ourselves, or 0.
  int Resume(int state_fd, int previous_fd, int failed);

  // Whether a state could be taken over: 0, or an errno: EBADMSG, ENOTSUP (then
  // *oldest is the lowest version that can). Touches nothing, and makes this
  // object fit for nothing else.
  int Check(int state_fd, uint64_t* oldest);

  // The loop. Returns after kQuit, and after the end of the head and of
  // hydra-grpc if there are cgroups to leave, which they would keep in use.
  void Run();

 private:
  int OpenSignals();
  int OpenExitFile();
  bool IsDone() const;
  int TimeoutMs() const;
  void Turn();
  void RunDue();
  void OnEvent(EventTag tag, uint32_t events);
  void OnSignals();
  void ReapChildren();
  void OnHeadReaped(int wait_status);

  // Takes messages off the link. With `all` until there are none, otherwise a
  // bounded number.
  void ReadLink(bool all);
  void WakeHead();
  // In monitor_messages.cc.
  void OnMessage(link::Message message);
  void OnStreamMessage(link::Message message);
  void OnStreamWrite(const link::Message& message);
  void OnHello(const link::Message& message);
  void OnIdle(link::Message message);
  void Forget(uint64_t token);
  void StoreFds(link::Message message);
  // In monitor_upgrade.cc.
  std::vector<const char*> Arguments(const char* head) const;
  void OnUpgrade(const link::Message& message, link::Writer* head);
  void OnInspect(const link::Message& message, link::Writer* head) const;
  void RunUpgrade();
  void ExecuteUpgrade();
  void FinishUpgrade();
  int TakeOver(int state_fd, int previous_fd, int failed);
  void ResumeUpgrade(int previous_fd, int failed);
  void GoBack();
  void UseFormerHead();
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
#ifdef HYDRA_TEST_STATE_NEXT
  static void SaveTestOnly(StateWriter* state);
  static void BreakForTest(const char* crash, const char* hang);
#endif

  void LogState() const;

  MonitorOptions options_;
  rlimit child_file_limit_ = {};
  Poller poller_;
  UniqueFd signals_;
  ExitFile exit_file_;
  HeadProcess head_;
  Processes processes_;
  Operations operations_;
  Publications publications_;
  Journals journals_;
  Streams streams_;
  Server server_;
  GrpcProcess grpc_;
  std::map<uint64_t, std::vector<UniqueFd>> store_;  // kStore, by name.
  std::vector<UniqueFd> wake_;                       // Of the head that rests.

  std::unique_ptr<Upgrade> upgrade_;  // While one is under way.
  std::string program_;    // The path that this program was started from.
  std::string head_path_;  // The same of the head.
  // The head's program and what it is executed by, after an upgrade of it that
  // failed: another may have its path by now.
  UniqueFd head_file_;
  std::string head_program_;
  int64_t started_at_ = 0;
  uint64_t upgrades_ = 0;

  bool link_has_more_ = false;
  bool reap_again_ = false;
  int64_t quit_at_ = kNever;  // After kQuit: the latest end.
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_MONITOR_H_
