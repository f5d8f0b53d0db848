#include "cmd/containerd-shim-hydra-v1/recorded_exit.h"

#include <sys/wait.h>

#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/monitor/exit_file.h"
#include "shim/state/record.h"

namespace hydra {
namespace {

uint32_t ExitStatusOf(int wait_status) {
  return static_cast<uint32_t>(WIFSIGNALED(wait_status)
                                   ? 128 + WTERMSIG(wait_status)
                                   : WEXITSTATUS(wait_status));
}

}  // namespace

std::optional<RecordedExit> FindRecordedExit(const InstancePaths& paths,
                                             pid_t pid) {
  uint64_t number = 0;
  const absl::StatusOr<state::Record> record = RecordFile(paths.state).Load();
  if (record.ok() && record->container().has_init()) {
    const state::Process& init = record->container().init();
    if (init.exited_at() != 0) {
      return RecordedExit{init.pid(), init.exit_status(), init.exited_at()};
    }
    number = init.number();
  } else if (!record.ok() && !absl::IsNotFound(record.status())) {
    LogWarning("load state, ignoring: ", Message(record.status()));
  }
  monitor::ExitFileContents exits;
  if (monitor::ReadExitFile(paths.exits.c_str(), &exits) != 0) {
    return std::nullopt;
  }
  for (const monitor::ExitRecord& exit : exits.records) {
    if (number != 0 ? exit.process == number : pid > 0 && exit.pid == pid) {
      return RecordedExit{static_cast<uint32_t>(exit.pid),
                          ExitStatusOf(exit.wait_status), exit.exited_at};
    }
  }
  return std::nullopt;
}

}  // namespace hydra
