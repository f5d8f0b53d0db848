#include "cmd/hydra/native.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "cmd/containerd-shim-hydra-v1/environment.h"
#include "cmd/containerd-shim-hydra-v1/launch.h"
#include "cmd/containerd-shim-hydra-v1/listener.h"
#include "cmd/containerd-shim-hydra-v1/monitor_process.h"
#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"
#include "cmd/containerd-shim-hydra-v1/remains.h"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/monitor/process.h"
#include "shim/monitor/start.h"

namespace hydra::command {
namespace {

constexpr size_t kMaxMessage = 4096;
constexpr int kAbandonPollMs = 5;
constexpr int kAbandonPolls = 1000;

absl::Status MakeBundle(const NativePlace& place,
                        const nlohmann::ordered_json& spec) {
  HYDRA_RETURN_IF_ERROR(MakeDataDirectory(place.data));
  HYDRA_RETURN_IF_ERROR(MakeDataDirectory(place.bundle));
  return ReplaceFile(place.bundle + "/config.json", spec.dump(2) + "\n", 0600);
}

UniqueFd OpenLog(const NativePlace& place) {
  const std::string path = place.data + "/hydra.log";
  return UniqueFd(
      open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
}

LaunchRequest RequestFor(const NativePlace& place, int log_fd) {
  LaunchRequest request;
  request.name = place.name;
  request.paths = place.paths;
  request.bundle = place.bundle;
  request.log_fd = log_fd;
  return request;
}

FoundInstance FoundAt(const NativePlace& place) {
  return {EngineName(""), place.name.container_namespace, place.name.id,
          place.paths.socket};
}

// An instance of the name that is alive is somebody else's.
absl::StatusOr<UniqueFd> Claim(const NativePlace& place) {
  HYDRA_ASSIGN_OR_RETURN(UniqueFd listener, MakeListener(place.paths));
  if (listener.valid()) return listener;
  return AlreadyExists("container " + place.name.id +
                       ": there is one of that name; remove it before, or "
                       "take another name");
}

// The child that has started an instance: it has nothing left to do, but is
// ours to wait for.
pid_t starter = 0;

// Runs `work` in a child, whose children are init's when it has ended, and
// gives its result. The child is not waited for: its end takes as long as the
// next step.
absl::Status RunInChild(const std::function<absl::Status()>& work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "make pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  starter = fork();
  if (starter < 0) return ErrnoError(errno, "fork");
  if (starter == 0) {
    read_end.Reset();
    const absl::Status status = work();
    std::string message(1, static_cast<char>(status.code()));
    message += Message(status).substr(0, kMaxMessage - 1);
    // A pipe takes that much at once.
    _exit(write(write_end.get(), message.data(), message.size()) < 0 ? 2 : 0);
  }
  write_end.Reset();
  std::string message(kMaxMessage, '\0');
  ssize_t n;
  do {
    n = read(read_end.get(), message.data(), message.size());
  } while (n < 0 && errno == EINTR);
  if (n == 1 && message[0] == static_cast<char>(absl::StatusCode::kOk)) {
    return absl::OkStatus();
  }
  ReapStarter();
  if (n <= 0) return Internal("start the instance: its starter died");
  return MakeError(static_cast<absl::StatusCode>(message[0]),
                   message.substr(1, static_cast<size_t>(n) - 1));
}

absl::Status LaunchNative(const NativePlace& place,
                          const nlohmann::ordered_json& spec) {
  HYDRA_ASSIGN_OR_RETURN(UniqueFd listener, Claim(place));
  // What is left of one that a reboot or a crash has ended.
  HYDRA_RETURN_IF_ERROR(RemoveDataDirectory(place.data));
  auto remove_data = absl::MakeCleanup([&] {
    (void)RemoveDataDirectory(place.data);  // The first error counts.
  });
  auto remove_instance =
      absl::MakeCleanup([&] { (void)RemoveInstance(place.paths); });
  HYDRA_RETURN_IF_ERROR(MakeBundle(place, spec));
  const UniqueFd log = OpenLog(place);
  HYDRA_ASSIGN_OR_RETURN(const Programs programs, FindPrograms(false));
  std::move(remove_instance).Cancel();
  HYDRA_RETURN_IF_ERROR(Launch(RequestFor(place, log.get()), programs,
                               std::move(listener),
                               [] { return absl::OkStatus(); }));
  std::move(remove_data).Cancel();
  return absl::OkStatus();
}

// The monitor, in this process; does not return.
[[noreturn]] void ExecuteMonitor(MonitorCommand command, int listener,
                                 int ready, int log) {
  const UniqueFd null_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
  // Out of the way of the numbers below.
  const int from[] = {fcntl(listener, F_DUPFD_CLOEXEC, 10),
                      fcntl(ready, F_DUPFD_CLOEXEC, 10)};
  dup2(null_fd.get(), STDIN_FILENO);
  dup2(null_fd.get(), STDOUT_FILENO);
  dup2(log >= 0 ? log : null_fd.get(), STDERR_FILENO);
  dup2(from[0], monitor::kListenFd);
  dup2(from[1], monitor::kReadyFd);
  setsid();
  execvpe(command.path.c_str(), PointersTo(command.arguments).data(),
          PointersTo(command.environment).data());
  dprintf(monitor::kReadyFd, "hydra-monitor: execute %s: %s",
          command.path.c_str(), strerror(errno));
  _exit(127);
}

}  // namespace

std::string RandomId() {
  unsigned char bytes[6];
  if (getrandom(bytes, sizeof(bytes), 0) !=
      static_cast<ssize_t>(sizeof(bytes))) {
    abort();  // Not before 2014.
  }
  std::string id;
  for (const unsigned char byte : bytes) {
    id.push_back("0123456789abcdef"[byte >> 4]);
    id.push_back("0123456789abcdef"[byte & 15]);
  }
  return id;
}

absl::StatusOr<NativePlace> PlaceOf(const std::string& container_namespace,
                                    const std::string& id) {
  NativePlace place;
  place.name = {"", container_namespace, id};
  HYDRA_ASSIGN_OR_RETURN(place.paths, PathsOf(place.name));
  HYDRA_ASSIGN_OR_RETURN(const std::string state, StateDirectory());
  place.data = DataDirectory(state, place.paths);
  place.bundle = place.data + "/bundle";
  return place;
}

absl::StatusOr<FoundInstance> StartInstance(
    const NativePlace& place, const nlohmann::ordered_json& spec) {
  HYDRA_RETURN_IF_ERROR(RunInChild([&] { return LaunchNative(place, spec); }));
  return FoundAt(place);
}

void ReapStarter() {
  const pid_t child = std::exchange(starter, 0);
  while (child > 0 && waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::StatusOr<FoundInstance> BecomeInstance(
    const NativePlace& place, const nlohmann::ordered_json& spec) {
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd listener, Claim(place));
  auto remove = absl::MakeCleanup([&] {
    (void)RemoveInstance(place.paths);  // The first error counts.
    (void)RemoveDataDirectory(place.data);
  });
  HYDRA_RETURN_IF_ERROR(RemoveDataDirectory(place.data));
  HYDRA_RETURN_IF_ERROR(MakeBundle(place, spec));
  HYDRA_ASSIGN_OR_RETURN(const Programs programs, FindPrograms(false));
  const UniqueFd log = OpenLog(place);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "make pipe");
  UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const pid_t self = getpid();
  HYDRA_RETURN_IF_ERROR(MonitorRef::Save(place.paths.monitor_pid, self));
  const pid_t child = fork();
  if (child < 0) return ErrnoError(errno, "fork");
  if (child > 0) {
    ExecuteMonitor(MonitorCommandOf(RequestFor(place, log.get()), programs, {}),
                   listener.get(), write_end.get(), log.get());
  }
  write_end.Reset();
  HYDRA_ASSIGN_OR_RETURN(const bool is_ready,
                         AwaitReport(read_end.get(), kReadyTimeout));
  if (!is_ready) {
    return Unknown("start hydra-monitor: it ended before it was ready");
  }
  std::move(remove).Cancel();
  return FoundAt(place);
}

void AbandonInstance(const FoundInstance& instance) {
  const pid_t monitor = getppid();
  kill(monitor, SIGKILL);
  // Until we are somebody else's child; it is not waited for for ever.
  for (int i = 0; i < kAbandonPolls && getppid() == monitor; ++i) {
    poll(nullptr, 0, kAbandonPollMs);
  }
  (void)RemoveDead(instance, true);  // The error that led here is told.
}

absl::Status RemoveDead(const FoundInstance& instance, bool force) {
  if (instance.engine != EngineName("")) {
    return FailedPrecondition("container " + instance.id +
                              ": its monitor does not answer, and an engine "
                              "has it, which removes it at its next contact");
  }
  HYDRA_ASSIGN_OR_RETURN(const NativePlace place,
                         PlaceOf(instance.container_namespace, instance.id));
  const absl::StatusOr<MonitorRef> monitor =
      MonitorRef::Open(place.paths.monitor_pid);
  if (monitor.ok() && !force) {
    return FailedPrecondition("container " + instance.id + ": its monitor, " +
                              std::to_string(monitor->pid()) +
                              ", is alive and does not answer; force it");
  }
  SetLogSink(STDERR_FILENO, LogLevel::kWarning);
  (void)RemoveRemains(place.name, place.paths,
                      place.bundle);  // No exit status.
  return RemoveDataDirectory(place.data);
}

}  // namespace hydra::command
