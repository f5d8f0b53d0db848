// ps.

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"
#include "cmd/hydra/container_options.h"
#include "cmd/hydra/each.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "shim/base/file.h"
#include "shim/base/status.h"
#include "shim/state/record.h"
#include "shim/task/process_state.h"

namespace hydra::command {
namespace {

constexpr size_t kMaxConfig = 10 << 20;
constexpr size_t kMaxCommandLine = 1 << 20;
constexpr size_t kShownCommand = 40;

// One line. Read from what the instance has on disk: asking would wake those
// that rest, and not be answered by the dead.
struct Row {
  FoundInstance instance;
  state::Record record;
  bool is_alive = false;
  std::string engine;  // Its address, or the name of its directory.
  std::vector<std::string> command;

  const state::Container& container() const { return record.container(); }
  const state::Process& init() const { return record.container().init(); }
};

// The monitor was given it; nobody else knows.
std::string EngineOf(const FoundInstance& instance, pid_t monitor) {
  if (instance.engine == EngineName("")) return {};
  const absl::StatusOr<std::string> text = ReadFile(
      "/proc/" + std::to_string(monitor) + "/cmdline", kMaxCommandLine);
  if (!text.ok()) return instance.engine;
  const std::vector<std::string> words = absl::StrSplit(*text, '\0');
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "-address") return words[i + 1];
  }
  return instance.engine;
}

std::vector<std::string> CommandOf(const state::Container& container) {
  if (container.native().command_size() > 0) {
    return {container.native().command().begin(),
            container.native().command().end()};
  }
  const absl::StatusOr<std::string> text =
      ReadFile(container.bundle() + "/config.json", kMaxConfig);
  if (!text.ok()) return {};
  const Json config = Json::parse(*text, nullptr, false);
  const auto at = Json::json_pointer("/process/args");
  std::vector<std::string> words;
  if (!config.is_object() || !config.contains(at)) return words;
  for (const Json& word : config[at]) {
    if (word.is_string()) words.push_back(word.get<std::string>());
  }
  return words;
}

absl::StatusOr<Row> ReadRow(const FoundInstance& instance) {
  Row row;
  row.instance = instance;
  HYDRA_ASSIGN_OR_RETURN(const InstancePaths paths, PathsOfInstance(instance));
  const absl::StatusOr<MonitorRef> monitor =
      MonitorRef::Open(paths.monitor_pid);
  row.is_alive = monitor.ok();
  row.engine = EngineOf(instance, monitor.ok() ? monitor->pid() : 0);
  absl::StatusOr<state::Record> record = RecordFile(paths.state).Load();
  // None yet, or none any more: the instance has no container.
  if (record.ok()) row.record = *std::move(record);
  row.command = CommandOf(row.container());
  return row;
}

std::string StatusOfRow(const Row& row) {
  if (!row.is_alive) return "dead";
  if (!row.record.has_container()) return "empty";
  if (row.container().has_replacement() ||
      row.container().native().next_start_at() != 0) {
    return "restarting";
  }
  return StatusText(StatusOf(row.init().phase()));
}

std::string Ago(int64_t time) {
  if (time == 0) return "";
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return DurationText(std::chrono::nanoseconds(now) -
                      std::chrono::nanoseconds(time));
}

std::string StatusForPeople(const Row& row) {
  const std::string status = StatusOfRow(row);
  const state::Container& container = row.container();
  if (status == "running" || status == "paused") {
    const std::string since = Ago(container.started_at());
    return since.empty() ? status : status + " for " + since;
  }
  if (status == "exited" || status == "restarting") {
    return status + " (" + std::to_string(row.init().exit_status()) + ") " +
           Ago(row.init().exited_at()) + " ago";
  }
  return status;
}

std::string CommandForPeople(const Row& row) {
  std::string text;
  for (const std::string& word : row.command) {
    text += (text.empty() ? "" : " ") + word;
  }
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return text.size() <= kShownCommand
             ? text
             : text.substr(0, kShownCommand - 3) + "...";
}

Json ToJson(const Row& row) {
  const state::Container& container = row.container();
  const std::string status = StatusOfRow(row);
  Json object = IdentityOf(row.instance);
  object["engine"] = row.engine.empty() ? Json(nullptr) : Json(row.engine);
  object["status"] = status;
  object["pid"] = row.init().pid();
  object["exit_status"] = row.init().exited_at() == 0
                              ? Json(nullptr)
                              : Json(row.init().exit_status());
  object["created_at"] = TimeJson(container.created_at());
  object["started_at"] = TimeJson(container.started_at());
  object["exited_at"] = TimeJson(row.init().exited_at());
  object["command"] = row.command;
  object["source"] = container.native().source().empty()
                         ? container.bundle()
                         : container.native().source();
  object["labels"] = Json::object();
  for (const auto& [name, value] : container.native().labels()) {
    object["labels"][name] = value;
  }
  object["restart"] = RestartPolicyText(container.native().restart());
  object["restarts"] = container.restarts();
  object["socket"] = row.instance.socket;
  return object;
}

bool HasLabels(const Row& row, const std::vector<std::string>& wanted) {
  const auto& labels = row.container().native().labels();
  for (const std::string& label : wanted) {
    const size_t equals = label.find('=');
    const auto found = labels.find(label.substr(0, equals));
    if (found == labels.end()) return false;
    if (equals != std::string::npos &&
        found->second != label.substr(equals + 1)) {
      return false;
    }
  }
  return true;
}

absl::StatusOr<int> ListContainers(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const std::vector<FoundInstance> found,
                         FindAll(invocation));
  Table table(
      {"ID", "NAMESPACE", "ENGINE", "STATUS", "PID", "RESTARTS", "COMMAND"});
  for (const FoundInstance& instance : found) {
    HYDRA_ASSIGN_OR_RETURN(const Row row, ReadRow(instance));
    const std::string status = StatusOfRow(row);
    if (!invocation.Has("all") && (status == "exited" || status == "empty")) {
      continue;
    }
    if (!HasLabels(row, invocation.All("label"))) continue;
    if (invocation.json()) {
      HYDRA_RETURN_IF_ERROR(PrintJson(ToJson(row)));
    } else if (invocation.Has("quiet")) {
      HYDRA_RETURN_IF_ERROR(Print(instance.id + "\n"));
    } else {
      table.Add({instance.id, instance.container_namespace,
                 row.engine.empty() ? "-" : row.engine, StatusForPeople(row),
                 row.init().pid() == 0 ? "-" : std::to_string(row.init().pid()),
                 std::to_string(row.container().restarts()),
                 CommandForPeople(row)});
    }
  }
  if (!invocation.json() && !invocation.Has("quiet")) {
    HYDRA_RETURN_IF_ERROR(Print(table.Text()));
  }
  return 0;
}

}  // namespace

Verb PsVerb() {
  return {
      "ps",
      {"list", "ls"},
      "List the containers of this machine, whoever has them",
      "Those of containerd, Docker and Kubernetes, by their namespaces, and "
      "our own. Nobody is asked, and nothing woken: a container that is "
      "listed as dead has lost its monitor.",
      {},
      {{"-a,--all", "", "those that have ended, too"},
       {"-q,--quiet", "", "only the ids"},
       {"-l,--label", "NAME[=VALUE]", "only those that have it", true}},
      "object for each container: engine, status, pid, exit_status, "
      "created_at, started_at, exited_at, command, source, labels, "
      "restart, restarts, socket",
      ListContainers};
}

}  // namespace hydra::command
