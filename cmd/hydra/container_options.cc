#include "cmd/hydra/container_options.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "cmd/hydra/bundle.h"
#include "cmd/hydra/signals.h"
#include "cmd/hydra/spec.h"
#include "shim/base/file.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"
#include "shim/link/journal.h"

namespace hydra::command {
namespace {

constexpr size_t kMaxEnvironmentFile = 1 << 20;
constexpr char kDefaultNamespace[] = "default";
constexpr uint64_t kDefaultLogSize = 64 << 20;

absl::StatusOr<std::string> AbsolutePath(const std::string& what,
                                         const std::string& path) {
  char buffer[PATH_MAX];
  if (realpath(path.c_str(), buffer) == nullptr) {
    return ErrnoError(errno, what, path);
  }
  return std::string(buffer);
}

absl::StatusOr<uint64_t> SizeOf(const Invocation& invocation,
                                const std::string& option) {
  const auto size = ParseSize(invocation.Get(option));
  if (size.has_value()) return *size;
  return InvalidArgument("--" + option + " " + invocation.Get(option) +
                         ": not a size like 512m or 2g");
}

// A name alone is one of our own environment.
void AddVariable(const std::string& word, std::vector<std::string>* to) {
  if (word.find('=') != std::string::npos) {
    to->push_back(word);
  } else if (const char* value = getenv(word.c_str()); value != nullptr) {
    to->push_back(word + "=" + value);
  }
}

absl::Status ReadEnvironment(const Invocation& invocation,
                             std::vector<std::string>* to) {
  for (const std::string& path : invocation.All("env-file")) {
    HYDRA_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(path, kMaxEnvironmentFile));
    const std::vector<std::string> lines = absl::StrSplit(text, '\n');
    for (const std::string& line : lines) {
      if (!line.empty() && line[0] != '#') AddVariable(line, to);
    }
  }
  for (const std::string& word : invocation.All("env")) AddVariable(word, to);
  return absl::OkStatus();
}

absl::StatusOr<Volume> ParseVolume(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  const bool has_mode = parts.size() == 3;
  if (parts.size() < 2 || parts.size() > 3 || !parts[1].starts_with("/") ||
      (has_mode && parts[2] != "ro" && parts[2] != "rw")) {
    return InvalidArgument("--volume " + text +
                           ": not like SOURCE:/TARGET or SOURCE:/TARGET:ro");
  }
  Volume volume;
  HYDRA_ASSIGN_OR_RETURN(volume.source, AbsolutePath("--volume", parts[0]));
  volume.target = parts[1];
  volume.read_only = has_mode && parts[2] == "ro";
  return volume;
}

// NAME=value pairs of an option that may be repeated.
template <typename Map>
absl::Status ReadPairs(const Invocation& invocation, const std::string& option,
                       Map* to) {
  for (const std::string& word : invocation.All(option)) {
    const size_t equals = word.find('=');
    if (equals == 0) {
      return InvalidArgument("--" + option + " " + word +
                             ": not like NAME=VALUE");
    }
    (*to)[word.substr(0, equals)] =
        equals == std::string::npos ? "" : word.substr(equals + 1);
  }
  return absl::OkStatus();
}

absl::Status ReadResources(const Invocation& invocation, SpecOptions* to) {
  if (invocation.Has("memory")) {
    HYDRA_ASSIGN_OR_RETURN(to->memory_bytes, SizeOf(invocation, "memory"));
  }
  if (invocation.Has("cpus")) {
    double cpus = 0;
    if (!absl::SimpleAtod(invocation.Get("cpus"), &cpus) || cpus < 0.01) {
      return InvalidArgument("--cpus " + invocation.Get("cpus") +
                             ": not a number like 1.5");
    }
    to->cpus = cpus;
  }
  if (invocation.Has("pids-limit")) {
    to->pids = ParseDecimal(invocation.Get("pids-limit"));
    if (!to->pids.has_value()) {
      return InvalidArgument("--pids-limit " + invocation.Get("pids-limit") +
                             ": not a number");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<SpecOptions> ReadSpecOptions(const Invocation& invocation) {
  SpecOptions options;
  options.command = invocation.arguments();
  HYDRA_RETURN_IF_ERROR(ReadEnvironment(invocation, &options.environment));
  options.directory = invocation.Get("workdir");
  options.user = invocation.Get("user");
  options.hostname = invocation.Get("hostname");
  options.terminal = invocation.Has("tty");
  options.read_only = invocation.Has("read-only");
  options.privileged = invocation.Has("privileged");
  const std::string network = invocation.Get("network", "none");
  if (network != "none" && network != "host") {
    return InvalidArgument("--network " + network + ": none or host");
  }
  options.host_network = network == "host";
  for (const std::string& text : invocation.All("volume")) {
    HYDRA_ASSIGN_OR_RETURN(Volume volume, ParseVolume(text));
    options.volumes.push_back(std::move(volume));
  }
  options.tmpfs = invocation.All("tmpfs");
  options.add_capabilities = invocation.All("cap-add");
  options.drop_capabilities = invocation.All("cap-drop");
  HYDRA_RETURN_IF_ERROR(ReadResources(invocation, &options));
  HYDRA_RETURN_IF_ERROR(
      ReadPairs(invocation, "annotation", &options.annotations));
  options.rootless = geteuid() != 0;
  return options;
}

// With systemd it is a scope in a slice (runc's own notation).
std::string CgroupOf(const NativePlace& place, bool is_systemd) {
  const std::string name = place.name.container_namespace + "-" + place.name.id;
  return is_systemd ? "system.slice:hydra:" + name : "/hydra-" + name;
}

absl::StatusOr<Json> ReadSpec(const Invocation& invocation,
                              const NativePlace& place,
                              v1::RunRequest* request) {
  HYDRA_ASSIGN_OR_RETURN(SpecOptions options, ReadSpecOptions(invocation));
  const std::string cgroup = CgroupOf(place, invocation.Has("systemd-cgroup"));
  if (invocation.Has("bundle") == invocation.Has("rootfs")) {
    return InvalidArgument(
        "what is to be run? Give --rootfs DIRECTORY and a command, or --bundle "
        "DIRECTORY");
  }
  if (invocation.Has("bundle")) {
    HYDRA_ASSIGN_OR_RETURN(const std::string bundle,
                           AbsolutePath("--bundle", invocation.Get("bundle")));
    request->set_source(bundle);
    for (const char* option :
         {"privileged", "cap-add", "cap-drop", "network"}) {
      if (invocation.Has(option)) {
        return InvalidArgument(std::string("--") + option +
                               ": with --bundle, its config.json says that");
      }
    }
    return LoadConfig(bundle + "/config.json", bundle, options, cgroup);
  }
  HYDRA_ASSIGN_OR_RETURN(options.rootfs,
                         AbsolutePath("--rootfs", invocation.Get("rootfs")));
  struct stat info;
  if (stat(options.rootfs.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return InvalidArgument("--rootfs " + options.rootfs + ": no directory");
  }
  if (options.command.empty()) {
    return InvalidArgument(
        "which command? A root file system does not say: put it after the "
        "options");
  }
  request->set_source(options.rootfs);
  options.cgroups_path = cgroup;
  if (options.directory.empty()) options.directory = "/";
  if (options.hostname.empty()) {
    options.hostname = place.name.id.substr(0, 12);
  }
  return MakeSpec(options);
}

absl::Status ReadNotice(const Invocation& invocation, v1::ExitNotice* notice) {
  if (invocation.Has("exit-dir")) {
    HYDRA_ASSIGN_OR_RETURN(
        *notice->mutable_directory(),
        AbsolutePath("--exit-dir", invocation.Get("exit-dir")));
  }
  if (invocation.Has("notify-pid")) {
    const auto pid = ParseDecimal(invocation.Get("notify-pid"));
    if (!pid.has_value() || *pid == 0 || *pid > INT_MAX) {
      return InvalidArgument("--notify-pid " + invocation.Get("notify-pid") +
                             ": not a process id");
    }
    notice->set_pid(static_cast<int32_t>(*pid));
  }
  if (invocation.Has("notify-signal")) {
    HYDRA_ASSIGN_OR_RETURN(const int signal,
                           ParseSignal(invocation.Get("notify-signal")));
    notice->set_signal(signal);
  }
  return absl::OkStatus();
}

absl::Status ReadRequest(const Invocation& invocation,
                         v1::RunRequest* request) {
  request->set_input(invocation.Has("interactive"));
  uint64_t log_size = kDefaultLogSize;
  if (invocation.Has("log-max-size")) {
    HYDRA_ASSIGN_OR_RETURN(log_size, SizeOf(invocation, "log-max-size"));
    if (log_size > 0 && log_size < link::kJournalMinBytes) {
      return InvalidArgument("--log-max-size " +
                             invocation.Get("log-max-size") +
                             ": at least 1m, or 0 for none");
    }
  }
  request->set_log_max_bytes(log_size);
  HYDRA_ASSIGN_OR_RETURN(*request->mutable_restart(),
                         ParseRestartPolicy(invocation.Get("restart", "no")));
  request->set_remove(invocation.Has("rm"));
  if (request->remove() && request->restart().name() != v1::RestartPolicy::NO) {
    return InvalidArgument("--rm and --restart: which of the two?");
  }
  if (invocation.Has("stop-signal")) {
    HYDRA_ASSIGN_OR_RETURN(const int signal,
                           ParseSignal(invocation.Get("stop-signal")));
    request->set_stop_signal(static_cast<uint32_t>(signal));
  }
  HYDRA_RETURN_IF_ERROR(ReadNotice(invocation, request->mutable_notice()));
  auto* options = request->mutable_options();
  if (invocation.Has("runtime")) {
    options->set_binary_name(invocation.Get("runtime"));
  }
  options->set_systemd_cgroup(invocation.Has("systemd-cgroup"));
  options->set_no_pivot_root(invocation.Has("no-pivot"));
  return ReadPairs(invocation, "label", request->mutable_labels());
}

absl::Status ReadCommon(const Invocation& invocation, NewContainer* container) {
  HYDRA_ASSIGN_OR_RETURN(container->place,
                         PlaceOf(invocation.Get("namespace", kDefaultNamespace),
                                 invocation.Get("name", RandomId())));
  container->request.set_bundle(container->place.bundle);
  return ReadRequest(invocation, &container->request);
}

// What of the request the spec decides.
void TakeFromSpec(NewContainer* container) {
  const Json& process = container->spec["process"];
  container->request.set_terminal(process.value("terminal", false));
  for (const auto& word : process["args"]) {
    container->request.add_command(word.get<std::string>());
  }
}

}  // namespace

const std::vector<Option>& ContainerOptions() {
  static const std::vector<Option> options = {
      {"-b,--bundle", "DIRECTORY",
       "an OCI bundle: config.json, and what it names", false, "directory"},
      {"--rootfs", "DIRECTORY",
       "a root file system; the rest of config.json is made up", false,
       "directory"},
      {"--name", "NAME", "the container's id; 12 hex digits if not given"},
      {"-t,--tty", "", "give it a terminal"},
      {"-i,--interactive", "", "give it an input"},
      {"-e,--env", "NAME=VALUE",
       "set a variable; without a value, ours is passed on", true},
      {"--env-file", "FILE", "one variable on each line", true, "file"},
      {"-w,--workdir", "DIRECTORY", "where its program starts"},
      {"-u,--user", "USER[:GROUP]", "names or numbers"},
      {"--hostname", "NAME", "the id if not given"},
      {"-v,--volume", "SOURCE:TARGET[:ro]", "mount a file or directory of ours",
       true, "file"},
      {"--tmpfs", "TARGET", "mount an empty file system in memory", true},
      {"--read-only", "", "its root file system cannot be written to"},
      {"--network", "none|host",
       "a network of its own with nothing in it, or ours; none if not given",
       false, "none,host"},
      {"--privileged", "", "all capabilities and devices, nothing hidden"},
      {"--cap-add", "NAME", "a capability more, or ALL", true},
      {"--cap-drop", "NAME", "a capability less, or ALL", true},
      {"-m,--memory", "SIZE", "at most: 512m, 2g"},
      {"--cpus", "NUMBER", "at most: 1.5"},
      {"--pids-limit", "NUMBER", "processes and threads, at most"},
      {"--restart", "POLICY",
       "when it ends: no, on-failure[:N], always or unless-stopped; the "
       "instance does it by itself",
       false, "no,on-failure,always,unless-stopped"},
      {"--rm", "", "remove it when it has ended"},
      {"--stop-signal", "SIGNAL", "what stop sends first; TERM if not given"},
      {"-l,--label", "NAME=VALUE", "for people, and for ps and inspect", true},
      {"--annotation", "NAME=VALUE", "into its config.json", true},
      {"--log-max-size", "SIZE",
       "of its output, kept on disk: 1m or more, 64m if not given, 0 for "
       "none"},
      {"--exit-dir", "DIRECTORY",
       "write the exit status to a file there, named by the id", false,
       "directory"},
      {"--notify-pid", "PID", "then send this process a signal"},
      {"--notify-signal", "SIGNAL", "RTMIN+10 if not given"},
      {"--lazy", "",
       "this process becomes the container's monitor, and stays its caller's "
       "child until the container is removed (l-HYDRA)"},
      {"--runtime", "PROGRAM", "the OCI runtime; runc if not given", false,
       "file"},
      {"--systemd-cgroup", "", "let systemd make its cgroup"},
      {"--no-pivot", "", "for a root file system in an initramfs"},
      {"--cidfile", "FILE", "write the id there", false, "file"},
      {"--pidfile", "FILE", "write the first process's id there", false,
       "file"},
  };
  return options;
}

absl::StatusOr<v1::RestartPolicy> ParseRestartPolicy(const std::string& text) {
  v1::RestartPolicy policy;
  if (text == "no") return policy;
  if (text == "always") {
    policy.set_name(v1::RestartPolicy::ALWAYS);
    return policy;
  }
  if (text == "unless-stopped") {
    policy.set_name(v1::RestartPolicy::UNLESS_STOPPED);
    return policy;
  }
  constexpr std::string_view kOnFailure = "on-failure";
  if (text.starts_with(kOnFailure)) {
    policy.set_name(v1::RestartPolicy::ON_FAILURE);
    const std::string rest = text.substr(kOnFailure.size());
    if (rest.empty()) return policy;
    const auto count = ParseDecimal(rest.substr(1));
    if (rest[0] == ':' && count.has_value() && *count <= UINT32_MAX) {
      policy.set_max_retries(static_cast<uint32_t>(*count));
      return policy;
    }
  }
  return InvalidArgument("--restart " + text +
                         ": no, on-failure, on-failure:N, always or "
                         "unless-stopped");
}

std::string RestartPolicyText(const v1::RestartPolicy& policy) {
  switch (policy.name()) {
    case v1::RestartPolicy::ON_FAILURE:
      return policy.max_retries() == 0
                 ? "on-failure"
                 : "on-failure:" + std::to_string(policy.max_retries());
    case v1::RestartPolicy::ALWAYS:
      return "always";
    case v1::RestartPolicy::UNLESS_STOPPED:
      return "unless-stopped";
    default:
      return "no";
  }
}

absl::StatusOr<Json> ReadResourceLimits(const Invocation& invocation) {
  SpecOptions options;
  HYDRA_RETURN_IF_ERROR(ReadResources(invocation, &options));
  return ResourceLimits(options);
}

absl::StatusOr<NewContainer> ReadContainerOptions(
    const Invocation& invocation) {
  NewContainer container;
  HYDRA_RETURN_IF_ERROR(ReadCommon(invocation, &container));
  HYDRA_ASSIGN_OR_RETURN(container.spec, ReadSpec(invocation, container.place,
                                                  &container.request));
  TakeFromSpec(&container);
  return container;
}

absl::StatusOr<NewContainer> ReadRestoreOptions(const Invocation& invocation,
                                                const std::string& checkpoint,
                                                const std::string& config) {
  NewContainer container;
  HYDRA_RETURN_IF_ERROR(ReadCommon(invocation, &container));
  HYDRA_ASSIGN_OR_RETURN(
      container.spec,
      LoadConfig(config, "/", SpecOptions(), CgroupOf(container.place, false)));
  container.request.set_source(checkpoint);
  container.request.set_checkpoint(checkpoint);
  TakeFromSpec(&container);
  return container;
}

}  // namespace hydra::command
