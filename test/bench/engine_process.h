// containerd itself, with the configuration that run.sh has made: started,
// killed, and started again.
//
// One thread.

#ifndef HYDRA_TEST_BENCH_ENGINE_PROCESS_H_
#define HYDRA_TEST_BENCH_ENGINE_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "test/bench/setup.h"

namespace hydra::bench {

class EngineProcess final {
 public:
  // `setup` must outlive this.
  explicit EngineProcess(const Setup& setup) : setup_(setup) {}
  // Ends it.
  ~EngineProcess();
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  // Starts it with "NAME=value" in its environment, and so in that of shims,
  // and waits until it answers. One that runs is stopped before.
  //
  // Errors: DeadlineExceeded if it does not answer within 60 s.
  absl::Status Start(const std::vector<std::string>& environment);
  // SIGKILLs it, and starts it again: nanoseconds from the start until it has
  // answered for `count` running tasks, of each of which it has asked the shim.
  //
  // Errors: as Start.
  absl::StatusOr<double> Restart(size_t count);

 private:
  absl::Status Spawn();
  // Until it has answered for `count` running tasks.
  absl::Status AwaitTasks(size_t count) const;
  void End(int signal);

  const Setup& setup_;
  std::vector<std::string> environment_;
  pid_t pid_ = -1;
};

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_ENGINE_PROCESS_H_
