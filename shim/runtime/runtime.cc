#include "shim/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <memory>

#include "nlohmann/json.hpp"
#include "shim/base/crash_point.h"
#include "shim/base/file.h"
#include "shim/base/status.h"
#include "shim/runtime/runtime_log.h"
#include "shim/runtime/state_file.h"

namespace hydra {
namespace {

constexpr size_t kMaxOutput = 64 << 10;
constexpr size_t kMaxState = 16 << 20;
// The step that kills a run, beside the run's own.
constexpr uint32_t kKillStep = 1u << 16;
// CRIU writes the memory of a container to a disk, or reads it.
constexpr std::chrono::seconds kCheckpointDeadline{30 * 60};

// What the run wrote, without the white space at its end.
std::string ReadOutput(int fd) {
  std::string output(kMaxOutput, '\0');
  const ssize_t n = pread(fd, output.data(), output.size(), 0);
  output.resize(n > 0 ? static_cast<size_t>(n) : 0);
  while (!output.empty() &&
         isspace(static_cast<unsigned char>(output.back()))) {
    output.pop_back();
  }
  return output;
}

size_t FileSize(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? static_cast<size_t>(info.st_size) : 0;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(tolower(c)); });
  return text;
}

// containerd's mapping of what a runtime says when it cannot kill; the texts
// are runc's and crun's.
absl::Status KillError(const std::string& text) {
  if (text.find("os: process already finished") != std::string::npos ||
      text.find("container not running") != std::string::npos ||
      Lower(text).find("no such process") != std::string::npos) {
    return NotFound("process already finished: not found");
  }
  if (text.find("does not exist") != std::string::npos) {
    return NotFound("no such container: not found");
  }
  return Unknown("unknown error after kill: " + text);
}

// In place of initializer lists, which GCC 12 cannot have in a coroutine.
template <typename... Args>
void Append(std::vector<std::string>& words, const Args&... args) {
  (words.emplace_back(args), ...);
}
template <typename... Args>
std::vector<std::string> Words(const Args&... args) {
  std::vector<std::string> words;
  Append(words, args...);
  return words;
}

}  // namespace

Runtime::Runtime(EventLoop* loop, MonitorClient* monitor, Config config)
    : loop_(loop),
      monitor_(monitor),
      config_(std::move(config)),
      binary_(config_.options.binary_name().empty()
                  ? "runc"
                  : config_.options.binary_name()) {}

std::string Runtime::Root() const {
  return config_.options.root() + "/" + config_.container_namespace;
}

std::string Runtime::InitPidFile() const {
  return config_.pid_directory + "/init.pid";
}

std::string Runtime::ExecPidFile(std::string_view exec_id) const {
  return config_.pid_directory + "/" + std::string(exec_id) + ".pid";
}

std::string Runtime::MakeWorkDirectory() const {
  const std::string path = config_.bundle + "/work";
  // If it cannot be made, the runtime says so.
  (void)mkdir(path.c_str(), 0700);
  return path;
}

std::vector<std::string> Runtime::CommandLine(
    std::vector<std::string> arguments) const {
  std::vector<std::string> line = {binary_,   "--root",       Root(), "--log",
                                   LogPath(), "--log-format", "json"};
  if (config_.options.systemd_cgroup()) line.push_back("--systemd-cgroup");
  std::move(arguments.begin(), arguments.end(), std::back_inserter(line));
  return line;
}

absl::Status Runtime::SpawnError(const absl::Status& status) const {
  // Go's words: docker makes its exit code 127 out of them.
  if (absl::IsNotFound(status)) {
    return Unknown(
        binary_.find('/') == std::string::npos
            ? "exec: \"" + binary_ + "\": executable file not found in $PATH"
            : "fork/exec " + binary_ + ": no such file or directory");
  }
  return Unknown("fork/exec " + binary_ + ": " + Message(status));
}

Async<Runtime::Outcome> Runtime::Run(OperationKey key,
                                     std::vector<std::string> arguments,
                                     RunOptions options) {
  Outcome outcome;
  SpawnRequest request;
  HYDRA_CRASH_POINT("runtime.run ", arguments.front());
  request.argv = CommandLine(std::move(arguments));
  request.adopts = options.adopts;
  UniqueFd captured;
  UniqueFd input;
  int output_fd = monitor_->KeptFd(key);
  if (!monitor_->Knows(key)) {
    outcome.log_start = FileSize(LogPath());
    request.fds = options.stdio.fds;
    if (!options.shares_stdio) {
      captured.Reset(memfd_create("runtime-output", MFD_CLOEXEC));
      // Without it the run goes on, and its failure says less.
      if (captured.valid()) {
        fcntl(captured.get(), F_SETFL, O_APPEND);
        request.fds.emplace_back(1, captured.get());
        request.fds.emplace_back(2, captured.get());
        request.kept_fd = captured.get();
        output_fd = captured.get();
      }
    }
    if (!options.input.empty()) {
      input.Reset(memfd_create("runtime-input", MFD_CLOEXEC));
      if (!input.valid() ||
          pwrite(input.get(), options.input.data(), options.input.size(), 0) !=
              static_cast<ssize_t>(options.input.size())) {
        outcome.status = ErrnoError(errno, "write input of", binary_);
        co_return outcome;
      }
      request.fds.emplace_back(0, input.get());
    }
  }
  absl::StatusOr<int> pid = co_await monitor_->Spawn(key, std::move(request));
  HYDRA_CRASH_POINT("runtime.started");
  if (!pid.ok()) {
    outcome.status = SpawnError(pid.status());
    co_return outcome;
  }
  bool timed_out = false;
  const auto deadline =
      options.deadline.count() > 0 ? options.deadline : config_.deadline;
  const auto timer = loop_->After(deadline, [&] {
    timed_out = true;
    monitor_->SignalSpawn({key.token, key.step | kKillStep}, key, SIGKILL);
  });
  const ProcessExit exit = co_await monitor_->WaitExit(key);
  HYDRA_CRASH_POINT("runtime.ended");
  if (output_fd >= 0) outcome.output = ReadOutput(output_fd);
  if (timed_out) {
    outcome.status =
        MakeError(absl::StatusCode::kDeadlineExceeded,
                  binary_ + " did not end within " +
                      std::to_string(deadline.count()) + "s and was killed");
  } else if (exit.wait_status != 0) {
    std::string text = binary_ + " did not terminate successfully: ";
    if (WIFSIGNALED(exit.wait_status)) {
      text += "signal: " + Lower(strsignal(WTERMSIG(exit.wait_status)));
    } else {
      text += "exit status " + std::to_string(WEXITSTATUS(exit.wait_status));
    }
    if (!outcome.output.empty()) text += ": " + outcome.output;
    outcome.status = Unknown(std::move(text));
  }
  co_return outcome;
}

Async<absl::Status> Runtime::RunLogged(OperationKey key, std::string what,
                                       std::vector<std::string> arguments,
                                       RunOptions options) {
  const Outcome outcome =
      co_await Run(key, std::move(arguments), std::move(options));
  if (outcome.status.ok() || absl::IsDeadlineExceeded(outcome.status)) {
    co_return Annotate(outcome.status, what);
  }
  const auto logged = LastLoggedError(LogPath(), outcome.log_start);
  if (!logged.ok()) {
    const std::string reason =
        absl::IsNotFound(logged.status())
            ? "open " + LogPath() + ": no such file or directory"
            : Message(logged.status());
    co_return Annotate(
        outcome.status,
        what + ": unable to retrieve OCI runtime error (" + reason + ")");
  }
  if (logged->empty()) co_return Annotate(outcome.status, what);
  co_return Unknown(what + ": " + *logged);
}

Async<absl::Status> Runtime::Create(OperationKey key, ProcessStdio stdio,
                                    Then then) {
  std::vector<std::string> arguments =
      then == Then::kStart ? Words("run", "--detach") : Words("create");
  Append(arguments, "--bundle", config_.bundle, "--pid-file", InitPidFile());
  RunOptions options;
  if (!stdio.console_socket.empty()) {
    Append(arguments, "--console-socket", stdio.console_socket);
  } else {
    options.shares_stdio = true;
  }
  if (config_.options.no_pivot_root()) arguments.push_back("--no-pivot");
  if (config_.options.no_new_keyring()) {
    arguments.push_back("--no-new-keyring");
  }
  arguments.push_back(config_.id);
  options.stdio = std::move(stdio);
  options.adopts = true;
  absl::Status status =
      co_await RunLogged(key, "OCI runtime create failed", std::move(arguments),
                         std::move(options));
  co_return status;
}

Async<absl::Status> Runtime::Start(OperationKey key) {
  absl::Status status =
      co_await RunLogged(key, "OCI runtime start failed",
                         Words("start", config_.id), RunOptions());
  co_return status;
}

Async<absl::Status> Runtime::Exec(OperationKey key, std::string exec_id,
                                  std::string process_file,
                                  ProcessStdio stdio) {
  std::vector<std::string> arguments = Words("exec", "--process", process_file);
  RunOptions options;
  if (!stdio.console_socket.empty()) {
    Append(arguments, "--console-socket", stdio.console_socket);
  } else {
    options.shares_stdio = true;
  }
  Append(arguments, "--detach", "--pid-file", ExecPidFile(exec_id), config_.id);
  options.stdio = std::move(stdio);
  options.adopts = true;
  absl::Status status = co_await RunLogged(
      key, "OCI runtime exec failed", std::move(arguments), std::move(options));
  co_return status;
}

Async<absl::Status> Runtime::Restore(OperationKey key, std::string image_path,
                                     std::string parent_path,
                                     ProcessStdio stdio) {
  std::string work_path = config_.options.criu_work_path();
  if (work_path.empty()) work_path = MakeWorkDirectory();
  std::vector<std::string> arguments =
      Words("restore", "--image-path", image_path, "--work-path", work_path);
  if (!parent_path.empty()) {
    Append(arguments, "--parent-path", parent_path);
  }
  Append(arguments, "--detach", "--pid-file", InitPidFile());
  RunOptions options;
  if (!stdio.console_socket.empty()) {
    Append(arguments, "--console-socket", stdio.console_socket);
  } else {
    options.shares_stdio = true;
  }
  if (config_.options.no_pivot_root()) arguments.push_back("--no-pivot");
  Append(arguments, "--no-subreaper", "--bundle", config_.bundle, config_.id);
  options.stdio = std::move(stdio);
  options.adopts = true;
  options.deadline = kCheckpointDeadline;
  absl::Status status =
      co_await RunLogged(key, "OCI runtime restore failed",
                         std::move(arguments), std::move(options));
  co_return status;
}

Async<absl::Status> Runtime::Kill(OperationKey key, int signal, bool all) {
  std::vector<std::string> arguments = Words("kill");
  if (all) arguments.push_back("--all");
  Append(arguments, config_.id, std::to_string(signal));
  const Outcome outcome = co_await Run(key, std::move(arguments), RunOptions());
  if (outcome.status.ok() || absl::IsDeadlineExceeded(outcome.status)) {
    co_return outcome.status;
  }
  co_return KillError(Message(outcome.status));
}

Async<absl::Status> Runtime::Delete(OperationKey key, bool force) {
  std::vector<std::string> arguments = Words("delete");
  if (force) arguments.push_back("--force");
  arguments.push_back(config_.id);
  absl::Status status = co_await RunLogged(key, "failed to delete task",
                                           std::move(arguments), RunOptions());
  if (Message(status).find("does not exist") != std::string::npos) {
    co_return absl::OkStatus();
  }
  co_return status;
}

Async<absl::Status> Runtime::Pause(OperationKey key) {
  absl::Status status =
      co_await RunLogged(key, "OCI runtime pause failed",
                         Words("pause", config_.id), RunOptions());
  co_return status;
}

Async<absl::Status> Runtime::Resume(OperationKey key) {
  absl::Status status =
      co_await RunLogged(key, "OCI runtime resume failed",
                         Words("resume", config_.id), RunOptions());
  co_return status;
}

Async<absl::Status> Runtime::Update(OperationKey key, std::string resources) {
  RunOptions options;
  options.input = std::move(resources);
  const Outcome outcome = co_await Run(
      key, Words("update", "--resources=-", config_.id), std::move(options));
  co_return outcome.status;
}

Async<absl::Status> Runtime::Checkpoint(
    OperationKey key, std::string image_path,
    containerd::runc::v1::CheckpointOptions checkpoint) {
  std::string work_path = checkpoint.work_path();
  if (work_path.empty()) work_path = MakeWorkDirectory() + "/criu-work";
  std::vector<std::string> arguments =
      Words("checkpoint", "--image-path", image_path, "--work-path", work_path);
  if (!checkpoint.parent_path().empty()) {
    Append(arguments, "--parent-path", checkpoint.parent_path());
  }
  if (checkpoint.open_tcp()) arguments.push_back("--tcp-established");
  if (checkpoint.external_unix_sockets()) {
    arguments.push_back("--ext-unix-sk");
  }
  if (checkpoint.terminal()) arguments.push_back("--shell-job");
  if (checkpoint.file_locks()) arguments.push_back("--file-locks");
  for (const auto& name : checkpoint.empty_namespaces()) {
    Append(arguments, "--empty-ns", name);
  }
  if (!checkpoint.exit()) arguments.push_back("--leave-running");
  arguments.push_back(config_.id);
  RunOptions options;
  options.deadline = kCheckpointDeadline;
  const Outcome outcome =
      co_await Run(key, std::move(arguments), std::move(options));
  co_return outcome.status;
}

Async<absl::StatusOr<std::vector<int>>> Runtime::Processes(OperationKey key) {
  const Outcome outcome = co_await Run(
      key, Words("ps", "--format", "json", config_.id), RunOptions());
  if (!outcome.status.ok()) co_return outcome.status;
  const auto json = nlohmann::json::parse(outcome.output, nullptr, false);
  std::vector<int> pids;
  if (json.is_null()) co_return pids;
  if (!json.is_array()) {
    co_return Unknown(binary_ +
                      " ps: not a JSON list: " + outcome.output.substr(0, 200));
  }
  for (const auto& pid : json) {
    if (pid.is_number_integer()) pids.push_back(pid.get<int>());
  }
  co_return pids;
}

std::map<std::string, std::string> Runtime::CgroupDirectories() const {
  const absl::StatusOr<std::string> text =
      ReadFile(Root() + "/" + config_.id + "/state.json", kMaxState);
  return text.ok() ? CgroupDirectoriesIn(*text)
                   : std::map<std::string, std::string>();
}

}  // namespace hydra
