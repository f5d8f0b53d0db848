#include "cmd/containerd-shim-hydra-v1/start.h"

#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <cstdlib>

#include "absl/cleanup/cleanup.h"
#include "cmd/containerd-shim-hydra-v1/bootstrap.h"
#include "cmd/containerd-shim-hydra-v1/engine_cgroup.h"
#include "cmd/containerd-shim-hydra-v1/environment.h"
#include "cmd/containerd-shim-hydra-v1/listener.h"
#include "cmd/containerd-shim-hydra-v1/monitor_process.h"
#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"
#include "cmd/containerd-shim-hydra-v1/stdio.h"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/cgroup/control.h"
#include "shim/oci/spec.h"
#include "shim/runtime/bundle.h"
#include "shim/runtime/options.h"
#include "shim/state/paths.h"

namespace hydra {
namespace {

constexpr std::chrono::seconds kReadyTimeout{5};
constexpr std::chrono::seconds kKillTimeout{1};
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

// What the monitor, and all that it starts, is to inherit.
absl::Status PrepareProcess(const containerd::runc::v1::Options& options) {
  const char* sched_core = getenv("SCHED_CORE");
  if (sched_core != nullptr && *sched_core != '\0' &&
      prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0,
            PR_SCHED_CORE_SCOPE_PROCESS_GROUP, 0) != 0) {
    return ErrnoError(errno, "create core scheduling cookie");
  }
  // Here and not with the monitor once it runs: by then it has a head, which
  // would be left behind.
  if (!options.shim_cgroup().empty()) {
    HYDRA_RETURN_IF_ERROR(Annotate(AddProcess(options.shim_cgroup(), getpid()),
                                   "enter shim cgroup"));
  }
  AdjustOomScore();
  return absl::OkStatus();
}

absl::StatusOr<MonitorCommand> CommandOf(const Flags& flags,
                                         const Bootstrap& bootstrap,
                                         const InstancePaths& paths,
                                         const std::string& bundle,
                                         const EngineCgroup& cgroup) {
  MonitorCommand command;
  std::string self;
  HYDRA_ASSIGN_OR_RETURN(command.path, FindMonitor(&self));
  command.arguments = {
      "hydra-monitor", "--directory", paths.directory, "--socket", paths.socket,
      "--head",        self};
  for (const std::string& directory : cgroup.left_for()) {
    command.arguments.insert(command.arguments.end(), {"--cgroup", directory});
  }
  command.arguments.insert(
      command.arguments.end(),
      {"--", "-namespace", flags.container_namespace, "-id", flags.id,
       "-address", bootstrap.grpc_address});
  if (bootstrap.debug) command.arguments.push_back("-debug");
  command.arguments.insert(command.arguments.end(),
                           {"-bundle", bundle, "serve"});
  command.environment = ChildEnvironment(bootstrap.ttrpc_address);
  return command;
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
  HYDRA_ASSIGN_OR_RETURN(const Bootstrap bootstrap,
                         DecodeBootstrap(input, flags));
  HYDRA_ASSIGN_OR_RETURN(const RuntimeOptions options,
                         DecodeOptions(bootstrap.options));
  for (const std::string& warning : options.warnings) LogWarning(warning);
  HYDRA_ASSIGN_OR_RETURN(
      const InstancePaths paths,
      PathsOf({bootstrap.grpc_address, flags.container_namespace, flags.id}));
  HYDRA_ASSIGN_OR_RETURN(const std::string bundle, CurrentDirectory());
  // A bundle that no container can come of is refused before there is
  // anything to undo.
  HYDRA_RETURN_IF_ERROR(LoadSpec(bundle + "/config.json").status());

  HYDRA_ASSIGN_OR_RETURN(const UniqueFd listener, MakeListener(paths));
  if (!listener.valid()) return Answer(bootstrap, paths);
  auto remove_instance = absl::MakeCleanup([&] {
    (void)RemoveInstance(paths);  // The error that led here is the one to tell.
  });
  HYDRA_RETURN_IF_ERROR(PrepareProcess(options.options));
  EngineCgroup cgroup;
  if (options.options.shim_cgroup().empty()) cgroup.Leave();
  HYDRA_ASSIGN_OR_RETURN(MonitorCommand command,
                         CommandOf(flags, bootstrap, paths, bundle, cgroup));
  HYDRA_ASSIGN_OR_RETURN(
      MonitorProcess monitor,
      MonitorProcess::Spawn(std::move(command), listener.get(), log.get()));
  HYDRA_RETURN_IF_ERROR(MonitorRef::Save(paths.monitor_pid, monitor.pid()));
  // Before ~MonitorProcess, which knows nothing of a head.
  auto end_monitor = absl::MakeCleanup([&] {
    const absl::StatusOr<MonitorRef> ref = MonitorRef::Open(paths.monitor_pid);
    if (ref.ok()) (void)ref->KillWithChildren(kKillTimeout);  // As above.
  });
  HYDRA_RETURN_IF_ERROR(monitor.WaitUntilReady(kReadyTimeout));
  auto remove_address = absl::MakeCleanup([] { unlink("address"); });
  HYDRA_RETURN_IF_ERROR(Answer(bootstrap, paths));
  std::move(remove_address).Cancel();
  cgroup.AskSystemd(flags, paths, monitor.pid(), log.get());
  monitor.Release();
  cgroup.Release();
  std::move(end_monitor).Cancel();
  std::move(remove_instance).Cancel();
  return absl::OkStatus();
}

}  // namespace hydra
