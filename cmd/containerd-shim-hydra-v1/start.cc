#include "cmd/containerd-shim-hydra-v1/start.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "cmd/containerd-shim-hydra-v1/bootstrap.h"
#include "cmd/containerd-shim-hydra-v1/launch.h"
#include "cmd/containerd-shim-hydra-v1/listener.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/oci/spec.h"
#include "shim/runtime/bundle.h"
#include "shim/runtime/options.h"
#include "shim/state/paths.h"

namespace hydra {
namespace {

constexpr int kMaxOomScoreAdj = 1000;

absl::StatusOr<std::string> CurrentDirectory() {
  char buffer[PATH_MAX];
  if (getcwd(buffer, sizeof(buffer)) == nullptr) {
    return ErrnoError(errno, "get working directory");
  }
  return std::string(buffer);
}

// The bundle's FIFO to the engine's log. Standard error is no place for it.
UniqueFd OpenLog() {
  UniqueFd fd(open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) fd.Reset(open("/dev/null", O_WRONLY | O_CLOEXEC));
  return fd;
}

// The engine's score and one more, so that under memory pressure the engine
// outlives its shims; the monitor inherits it. A score that cannot be read or
// set is no reason to run no container.
void AdjustOomScore() {
  const absl::StatusOr<std::string> text =
      ReadFile("/proc/" + std::to_string(getppid()) + "/oom_score_adj", 64);
  int score = 0;
  if (!text.ok() ||
      std::from_chars(text->data(), text->data() + text->size(), score).ec !=
          std::errc()) {
    LogDebug("read the engine's oom_score_adj, ignoring");
    return;
  }
  const std::string wanted =
      std::to_string(std::min(score + 1, kMaxOomScoreAdj));
  const UniqueFd fd(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || write(fd.get(), wanted.data(), wanted.size()) < 0) {
    LogDebug("set oom_score_adj ", wanted, ", ignoring: errno ", errno);
  }
}

absl::Status Answer(const Bootstrap& bootstrap, const InstancePaths& paths) {
  HYDRA_RETURN_IF_ERROR(SaveAddress(".", paths.Address()));
  return WriteOutput(STDOUT_FILENO, EncodeAnswer(bootstrap, paths.Address()));
}

}  // namespace

absl::Status Start(const Flags& flags) {
  // An engine that has gone must be an error of the answer's write, not our
  // end: there is a monitor to take back.
  signal(SIGPIPE, SIG_IGN);
  const UniqueFd log = OpenLog();
  SetLogSink(log.get(), flags.debug ? LogLevel::kDebug : LogLevel::kInfo);
  SetLogContext("id=" + flags.id + " namespace=" + flags.container_namespace);

  HYDRA_ASSIGN_OR_RETURN(const std::string input, ReadInput(STDIN_FILENO));
  HYDRA_ASSIGN_OR_RETURN(Bootstrap bootstrap, DecodeBootstrap(input, flags));
  HYDRA_ASSIGN_OR_RETURN(const RuntimeOptions options,
                         DecodeOptions(bootstrap.options));
  for (const std::string& warning : options.warnings) LogWarning(warning);
  bootstrap.protocol = options.protocol;
  if (bootstrap.is_message && bootstrap.protocol == "grpc") {
    return InvalidArgument(
        "protocol grpc: this containerd takes a shim that speaks it for dead");
  }
  const InstanceName name = {bootstrap.grpc_address, flags.container_namespace,
                             flags.id};
  HYDRA_ASSIGN_OR_RETURN(const InstancePaths paths, PathsOf(name));
  HYDRA_ASSIGN_OR_RETURN(const std::string bundle, CurrentDirectory());
  // A bundle that no container can come of is refused before there is
  // anything to undo.
  HYDRA_RETURN_IF_ERROR(LoadSpec(bundle + "/config.json").status());

  HYDRA_ASSIGN_OR_RETURN(UniqueFd listener, MakeListener(paths));
  if (!listener.valid()) return Answer(bootstrap, paths);
  AdjustOomScore();
  LaunchRequest request;
  request.name = name;
  request.paths = paths;
  request.bundle = bundle;
  request.ttrpc_address = bootstrap.ttrpc_address;
  request.debug = bootstrap.debug;
  request.shim_cgroup = options.options.shim_cgroup();
  request.log_fd = log.get();
  auto remove_address = absl::MakeCleanup([] { unlink("address"); });
  HYDRA_ASSIGN_OR_RETURN(const Programs programs, FindPrograms(true));
  HYDRA_RETURN_IF_ERROR(Launch(request, programs, std::move(listener),
                               [&] { return Answer(bootstrap, paths); }));
  std::move(remove_address).Cancel();
  return absl::OkStatus();
}

}  // namespace hydra
