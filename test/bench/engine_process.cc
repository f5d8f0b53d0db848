#include "test/bench/engine_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "test/bench/command.h"
#include "test/bench/tasks_client.h"

namespace hydra::bench {
namespace {

constexpr long long kPatience = 60'000'000'000;
// Between two looks: what a restart's figure may be too high by.
constexpr std::chrono::milliseconds kPause{1};

}  // namespace

EngineProcess::~EngineProcess() { End(SIGTERM); }

absl::Status EngineProcess::Spawn() {
  const UniqueFd log(open(setup_.log.c_str(),
                          O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!log.valid()) return ErrnoError(errno, "open", setup_.log);
  CommandOptions options;
  options.environment = environment_;
  HYDRA_ASSIGN_OR_RETURN(
      pid_, SpawnCommand({"containerd", "--config", setup_.config}, log.get(),
                         log.get(), options));
  return absl::OkStatus();
}

void EngineProcess::End(int signal) {
  if (pid_ <= 0) return;
  kill(pid_, signal);
  (void)WaitCommand(pid_);  // It has been killed by then.
  pid_ = -1;
}

absl::Status EngineProcess::AwaitTasks(size_t count) const {
  const long long deadline = Now() + kPatience;
  absl::Status status;
  while (Now() < deadline) {
    const absl::StatusOr<size_t> running =
        CountRunningTasks(setup_.address, setup_.containerd_namespace);
    if (running.ok() && *running >= count) return absl::OkStatus();
    status = running.ok() ? NotFound(std::to_string(*running) + " tasks of " +
                                     std::to_string(count))
                          : running.status();
    std::this_thread::sleep_for(kPause);
  }
  return MakeError(absl::StatusCode::kDeadlineExceeded,
                   "containerd does not answer: " + Message(status));
}

absl::Status EngineProcess::Start(const std::vector<std::string>& environment) {
  End(SIGTERM);
  environment_ = environment;
  HYDRA_RETURN_IF_ERROR(Spawn());
  return AwaitTasks(0);
}

absl::StatusOr<double> EngineProcess::Restart(size_t count) {
  End(SIGKILL);
  const long long start = Now();
  HYDRA_RETURN_IF_ERROR(Spawn());
  HYDRA_RETURN_IF_ERROR(AwaitTasks(count));
  return static_cast<double>(Now() - start);
}

}  // namespace hydra::bench
