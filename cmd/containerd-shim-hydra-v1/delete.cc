#include "cmd/containerd-shim-hydra-v1/delete.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <filesystem>

#include "cmd/containerd-shim-hydra-v1/remains.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "containerd/task/v2/task.pb.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/state/paths.h"

namespace hydra {
namespace {

absl::StatusOr<std::string> FindBundle(const std::string& id) {
  char buffer[PATH_MAX];
  if (getcwd(buffer, sizeof(buffer)) == nullptr) {
    return ErrnoError(errno, "get working directory");
  }
  return (std::filesystem::path(buffer).parent_path() / id).string();
}

std::string EncodeResponse(const RecordedExit& exit) {
  constexpr int64_t kSecond = 1'000'000'000;
  containerd::task::v2::DeleteResponse response;
  response.set_pid(exit.pid);
  response.set_exit_status(exit.exit_status);
  response.mutable_exited_at()->set_seconds(exit.exited_at / kSecond);
  response.mutable_exited_at()->set_nanos(
      static_cast<int32_t>(exit.exited_at % kSecond));
  return response.SerializeAsString();
}

}  // namespace

absl::Status Delete(const Flags& flags) {
  // containerd's end must not leave a container half removed.
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  SetLogSink(STDERR_FILENO, LogLevel::kWarning);
  HYDRA_ASSIGN_OR_RETURN(
      const InstancePaths paths,
      PathsOf({flags.address, flags.container_namespace, flags.id}));
  HYDRA_ASSIGN_OR_RETURN(const std::string bundle, FindBundle(flags.id));
  const RecordedExit exit = RemoveRemains(
      {flags.address, flags.container_namespace, flags.id}, paths, bundle);
  return WriteOutput(STDOUT_FILENO, EncodeResponse(exit));
}

}  // namespace hydra
