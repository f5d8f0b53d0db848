// stats, top.

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "cmd/hydra/client.h"
#include "cmd/hydra/each.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/usage.h"
#include "cmd/hydra/verbs.h"
#include "containerd/task/v2/task.pb.h"
#include "shim/base/status.h"
#include "shim/state/record.h"

namespace hydra::command {
namespace {

namespace task = containerd::task::v2;
using std::chrono::milliseconds;

// Between two samples, without --interval: what one shot takes.
constexpr milliseconds kOneShot{500};
constexpr milliseconds kRefresh{1000};
constexpr char kHome[] = "\033[H\033[J";

std::string Fixed(double value) {
  char text[32];
  snprintf(text, sizeof(text), "%.1f", value);
  return text;
}

std::string PercentOf(uint64_t part, uint64_t whole) {
  return whole == 0 ? "-"
                    : Fixed(100.0 * static_cast<double>(part) /
                            static_cast<double>(whole));
}

// The pid of the container's init, from disk; 0 if nobody knows.
int PidOf(const FoundInstance& instance) {
  const absl::StatusOr<InstancePaths> paths = PathsOfInstance(instance);
  if (!paths.ok()) return 0;
  const absl::StatusOr<state::Record> record = RecordFile(paths->state).Load();
  return record.ok() ? static_cast<int>(record->container().init().pid()) : 0;
}

bool Runs(const FoundInstance& instance) {
  const absl::StatusOr<InstancePaths> paths = PathsOfInstance(instance);
  if (!paths.ok()) return false;
  const absl::StatusOr<state::Record> record = RecordFile(paths->state).Load();
  if (!record.ok()) return false;
  const state::Phase phase = record->container().init().phase();
  return phase == state::PHASE_RUNNING || phase == state::PHASE_PAUSED;
}

// How a screen is shown: once, again and again, or as objects.
struct Pace {
  bool repeats = false;
  milliseconds interval{0};
};

absl::StatusOr<Pace> PaceOf(const Invocation& invocation) {
  Pace pace;
  pace.repeats = !invocation.Has("no-stream") &&
                 (invocation.Has("interval") ||
                  (!invocation.json() && isatty(STDOUT_FILENO) == 1));
  pace.interval = pace.repeats ? kRefresh : kOneShot;
  if (invocation.Has("interval")) {
    HYDRA_ASSIGN_OR_RETURN(
        pace.interval, ParseDuration("--interval", invocation.Get("interval")));
  }
  return pace;
}

// Calls `sample` and, after the interval, `show`, once or until --timeout.
absl::StatusOr<int> Repeat(
    const Invocation& invocation, const std::function<absl::Status()>& sample,
    const std::function<absl::StatusOr<std::string>()>& show) {
  HYDRA_ASSIGN_OR_RETURN(const Pace pace, PaceOf(invocation));
  HYDRA_ASSIGN_OR_RETURN(const milliseconds timeout, TimeoutOf(invocation));
  const auto begin = std::chrono::steady_clock::now();
  HYDRA_RETURN_IF_ERROR(sample());
  while (true) {
    poll(nullptr, 0, static_cast<int>(pace.interval.count()));
    HYDRA_RETURN_IF_ERROR(sample());
    HYDRA_ASSIGN_OR_RETURN(const std::string text, show());
    const bool is_screen =
        pace.repeats && !invocation.json() && isatty(STDOUT_FILENO) == 1;
    HYDRA_RETURN_IF_ERROR(Print((is_screen ? kHome : "") + text));
    const auto passed = std::chrono::steady_clock::now() - begin;
    if (!pace.repeats || (timeout.count() > 0 && passed >= timeout)) return 0;
  }
}

// ---- stats ----

struct Watched {
  FoundInstance instance;
  std::unique_ptr<Client> client;
  Usage before;
  Usage now;
  absl::Status status;
};

class Stats final {
 public:
  Stats(const Invocation& invocation, milliseconds timeout)
      : invocation_(invocation), timeout_(timeout) {}

  absl::Status Sample() {
    std::vector<FoundInstance> instances;
    for (const std::string& name : invocation_.arguments()) {
      HYDRA_ASSIGN_OR_RETURN(FoundInstance found,
                             FindContainer(invocation_, name));
      instances.push_back(std::move(found));
    }
    if (invocation_.arguments().empty()) {
      HYDRA_ASSIGN_OR_RETURN(instances, FindAll(invocation_));
      std::erase_if(instances, [](const auto& it) { return !Runs(it); });
    }
    std::map<std::string, Watched> current;
    for (FoundInstance& instance : instances) {
      const std::string key = instance.socket;
      Watched& watched = current[key];
      if (const auto known = watched_.find(key); known != watched_.end()) {
        watched = std::move(known->second);
      } else {
        watched.instance = instance;
        watched.client = std::make_unique<Client>(instance, timeout_);
      }
      Ask(&watched);
    }
    watched_ = std::move(current);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Show() {
    Table table({"ID", "NAMESPACE", "CPU %", "MEMORY / LIMIT", "MEM %",
                 "NET IN / OUT", "DISK READ / WRITTEN", "PIDS"});
    std::string objects;
    for (const auto& [socket, watched] : watched_) {
      if (!watched.status.ok() && !invocation_.arguments().empty()) {
        return watched.status;
      }
      // One that has just ended.
      if (!watched.status.ok()) continue;
      if (invocation_.json()) {
        HYDRA_RETURN_IF_ERROR(PrintJson(ToJson(watched)));
        continue;
      }
      const Usage& now = watched.now;
      table.Add({watched.instance.id, watched.instance.container_namespace,
                 Fixed(Percent(watched)),
                 SizeText(now.memory) + " / " + SizeText(now.memory_limit),
                 PercentOf(now.memory, now.memory_limit),
                 now.has_network ? SizeText(now.received_bytes) + " / " +
                                       SizeText(now.sent_bytes)
                                 : "-",
                 SizeText(now.read_bytes) + " / " + SizeText(now.written_bytes),
                 std::to_string(now.pids)});
    }
    return invocation_.json() ? std::string() : table.Text();
  }

 private:
  static double Percent(const Watched& watched) {
    return CpuPercent(watched.before.cpu_ns, watched.now.cpu_ns,
                      watched.now.taken_at - watched.before.taken_at);
  }

  static void Ask(Watched* watched) {
    task::StatsRequest request;
    request.set_id(watched->instance.id);
    const auto response =
        watched->client->Task<task::StatsResponse>("Stats", request);
    watched->status = response.status();
    if (absl::IsNotFound(response.status())) {
      watched->status = FailedPrecondition(
          "container " + watched->instance.id +
          " has no cgroup of its own that counts what it uses");
    }
    if (!response.ok()) return;
    absl::StatusOr<Usage> usage = UsageOf(response->stats());
    watched->status = usage.status();
    if (!usage.ok()) return;
    AddNetwork(PidOf(watched->instance), &*usage);
    const bool is_first = watched->now.taken_at.time_since_epoch().count() == 0;
    watched->before = is_first ? *usage : watched->now;
    watched->now = *usage;
  }

  static Json ToJson(const Watched& watched) {
    const Usage& now = watched.now;
    Json object = IdentityOf(watched.instance);
    object["cpu_percent"] = Percent(watched);
    object["cpu_ns"] = now.cpu_ns;
    object["memory_bytes"] = now.memory;
    object["memory_limit_bytes"] = now.memory_limit;
    object["pids"] = now.pids;
    object["pids_limit"] =
        now.pids_limit == 0 ? Json(nullptr) : Json(now.pids_limit);
    object["disk_read_bytes"] = now.read_bytes;
    object["disk_written_bytes"] = now.written_bytes;
    object["network_received_bytes"] =
        now.has_network ? Json(now.received_bytes) : Json(nullptr);
    object["network_sent_bytes"] =
        now.has_network ? Json(now.sent_bytes) : Json(nullptr);
    return object;
  }

  const Invocation& invocation_;
  const milliseconds timeout_;
  std::map<std::string, Watched> watched_;
};

absl::StatusOr<int> ShowStats(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const milliseconds timeout, TimeoutOf(invocation));
  Stats stats(invocation, timeout);
  return Repeat(
      invocation, [&] { return stats.Sample(); }, [&] { return stats.Show(); });
}

// ---- top ----

class Top final {
 public:
  Top(const Invocation& invocation, FoundInstance instance,
      milliseconds timeout)
      : invocation_(invocation), client_(std::move(instance), timeout) {}

  absl::Status Sample() {
    task::PidsRequest request;
    request.set_id(client_.instance().id);
    HYDRA_ASSIGN_OR_RETURN(const task::PidsResponse response,
                           client_.Task<task::PidsResponse>("Pids", request));
    std::vector<int> pids;
    for (const auto& process : response.processes()) {
      pids.push_back(static_cast<int>(process.pid()));
    }
    cpu_before_.clear();
    for (const ProcessUsage& process : processes_) {
      cpu_before_[process.pid] = process.cpu_ns;
    }
    before_ = std::exchange(now_, std::chrono::steady_clock::now());
    processes_ = ProcessesOf(pids);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Show() {
    Table table({"PID", "PPID", "UID", "S", "CPU %", "TIME", "RSS", "COMMAND"});
    for (const ProcessUsage& process : processes_) {
      const auto before = cpu_before_.find(process.pid);
      const double percent = CpuPercent(
          before == cpu_before_.end() ? process.cpu_ns : before->second,
          process.cpu_ns, now_ - before_);
      if (invocation_.json()) {
        Json object = IdentityOf(client_.instance());
        object["pid"] = process.pid;
        object["parent"] = process.parent;
        object["uid"] = process.uid;
        object["state"] = std::string(1, process.state);
        object["cpu_percent"] = percent;
        object["cpu_ns"] = process.cpu_ns;
        object["memory_bytes"] = process.memory;
        object["command"] = process.command;
        HYDRA_RETURN_IF_ERROR(PrintJson(object));
        continue;
      }
      table.Add({std::to_string(process.pid), std::to_string(process.parent),
                 std::to_string(process.uid), std::string(1, process.state),
                 Fixed(percent),
                 Fixed(static_cast<double>(process.cpu_ns) / 1e9) + "s",
                 SizeText(process.memory), process.command});
    }
    return invocation_.json() ? std::string() : table.Text();
  }

 private:
  const Invocation& invocation_;
  Client client_;
  std::vector<ProcessUsage> processes_;
  std::map<int, uint64_t> cpu_before_;
  std::chrono::steady_clock::time_point before_;
  std::chrono::steady_clock::time_point now_;
};

absl::StatusOr<int> ShowTop(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const milliseconds timeout, TimeoutOf(invocation));
  HYDRA_ASSIGN_OR_RETURN(FoundInstance instance,
                         FindContainer(invocation, invocation.arguments()[0]));
  Top top(invocation, std::move(instance), timeout);
  return Repeat(
      invocation, [&] { return top.Sample(); }, [&] { return top.Show(); });
}

std::vector<Option> PaceOptions() {
  return {{"--no-stream", "", "once, though this is a terminal"},
          {"--interval", "TIME",
           "again and again, with this time between; 1s on a terminal"}};
}

}  // namespace

Verb StatsVerb() {
  return {"stats",
          {},
          "Show what containers use",
          "Refreshed in place on a terminal; otherwise once, over half a "
          "second.",
          {{"CONTAINER", "all that run if none is given", Argument::Count::kAny,
            "container"}},
          PaceOptions(),
          "object for each container: cpu_percent, cpu_ns, memory_bytes, "
          "memory_limit_bytes, pids, pids_limit, disk_read_bytes, "
          "disk_written_bytes, network_received_bytes, network_sent_bytes",
          ShowStats};
}

Verb TopVerb() {
  return {"top",
          {},
          "Show the processes of a container",
          "With the process ids of this machine. Refreshed in place on a "
          "terminal; otherwise once, over half a second.",
          {{"CONTAINER", "see `hydra help stop`", Argument::Count::kOne,
            "container"}},
          PaceOptions(),
          "object for each process: pid, parent, uid, state, cpu_percent, "
          "cpu_ns, memory_bytes, command",
          ShowTop};
}

}  // namespace hydra::command
