// The process that speaks gRPC for the instance, while there are clients that
// do: see link/grpc.h. What it is asked it asks the server, as a ttrpc client.
//
// Loop thread only. When it dies its clients are disconnected, and nothing
// else; the next one starts another.

#ifndef HYDRA_MONITOR_GRPC_PROCESS_H_
#define HYDRA_MONITOR_GRPC_PROCESS_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "shim/base/unique_fd.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/server.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class GrpcProcess {
 public:
  // All must outlive this.
  GrpcProcess(Poller* poller, Server* server, const rlimit* child_file_limit)
      : poller_(poller), server_(server), child_file_limit_(child_file_limit) {}

  // Gives it a connection, which is closed if there can be no such process. It
  // is looked for beside `head`, then in PATH.
  void Pass(UniqueFd connection, const std::string& head);
  // It says that it is idle, or has ended.
  void OnReadable();
  // Takes the exit of one; false if the pid is none.
  bool OnExit(pid_t pid);
  // The next connection is for another process.
  void Retire();
  // Disconnects all of them, so that they end.
  void End();
  // None is left.
  bool ended() const { return processes_.empty(); }

  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // Listens to it again after Load.
  void Resume();

 private:
  bool Start(const std::string& head);

  Poller* poller_;
  Server* server_;
  const rlimit* child_file_limit_;
  UniqueFd link_;  // To the one that gets what comes.
  uint64_t passed_ = 0;
  // By pid, those that were retired too: the numbers of their connections.
  std::map<pid_t, uint64_t> processes_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_GRPC_PROCESS_H_
