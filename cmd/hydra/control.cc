// stop, kill, restart, pause, unpause, wait, rm.

#include <signal.h>

#include <chrono>
#include <string>

#include "cmd/hydra/client.h"
#include "cmd/hydra/each.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/native.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/signals.h"
#include "cmd/hydra/verbs.h"
#include "containerd/task/v2/task.pb.h"
#include "hydra/v1/instance.pb.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

namespace task = containerd::task::v2;

constexpr int64_t kSecond = 1'000'000'000;

const Argument kContainers = {"CONTAINER",
                              "an id, the beginning of one, NAMESPACE/ID or "
                              "ENGINE/NAMESPACE/ID",
                              Argument::Count::kMany, "container"};

Option TimeOption() {
  return {"-t,--time", "TIME",
          "from the signal to SIGKILL; 10s if not given, 0 kills at once"};
}

// Fills the signal and the time of a StopRequest or RestartRequest.
template <typename Request>
absl::Status ReadEnd(const Invocation& invocation, Request* request) {
  if (invocation.Has("signal")) {
    HYDRA_ASSIGN_OR_RETURN(const int signal,
                           ParseSignal(invocation.Get("signal")));
    request->set_signal(static_cast<uint32_t>(signal));
  }
  if (invocation.Has("time")) {
    HYDRA_ASSIGN_OR_RETURN(const std::chrono::milliseconds time,
                           ParseDuration("--time", invocation.Get("time")));
    request->set_timeout(static_cast<uint32_t>(time.count()));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Stop(const Invocation& invocation) {
  v1::StopRequest request;
  HYDRA_RETURN_IF_ERROR(ReadEnd(invocation, &request));
  return ForEachAtOnce(
      invocation, "stopping",
      [&](Client& client) -> Async<absl::StatusOr<Json>> {
        const auto response = co_await client.BeginInstance<v1::StopResponse>(
            "Stop", request.SerializeAsString());
        HYDRA_CO_RETURN_IF_ERROR(response.status());
        co_return Json{{"changed", response->changed()},
                       {"exit_status", response->exit_status()}};
      });
}

absl::StatusOr<int> Restart(const Invocation& invocation) {
  v1::RestartRequest request;
  HYDRA_RETURN_IF_ERROR(ReadEnd(invocation, &request));
  return ForEachAtOnce(invocation, "restarting",
                       [&](Client& client) -> Async<absl::StatusOr<Json>> {
                         const auto response =
                             co_await client.BeginInstance<v1::RestartResponse>(
                                 "Restart", request.SerializeAsString());
                         HYDRA_CO_RETURN_IF_ERROR(response.status());
                         co_return Json{
                             {"changed", true},
                             {"pid", response->pid()},
                             {"exit_status_before", response->exit_status()}};
                       });
}

absl::StatusOr<task::StateResponse> StateOf(Client& client) {
  task::StateRequest request;
  request.set_id(client.instance().id);
  return client.Task<task::StateResponse>("State", request);
}

absl::StatusOr<Json> SendSignal(Client& client, int signal, bool all) {
  HYDRA_ASSIGN_OR_RETURN(const task::StateResponse state, StateOf(client));
  const bool is_native = client.instance().engine == EngineName("");
  if (is_native && signal == SIGKILL) {
    // The policy, too: whoever kills it does not want it back.
    v1::StopRequest request;
    request.set_signal(SIGKILL);
    HYDRA_ASSIGN_OR_RETURN(const v1::StopResponse response,
                           client.Instance<v1::StopResponse>("Stop", request));
    return Json{{"changed", response.changed()}};
  }
  if (state.status() == containerd::v1::types::STOPPED) {
    return Json{{"changed", false}};
  }
  task::KillRequest request;
  request.set_id(client.instance().id);
  request.set_signal(static_cast<uint32_t>(signal));
  request.set_all(all);
  const auto killed = client.Task("Kill", request);
  // It has ended meanwhile.
  if (absl::IsNotFound(killed.status())) return Json{{"changed", false}};
  if (!killed.ok()) return killed.status();
  return Json{{"changed", true}};
}

absl::StatusOr<int> Kill(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const int signal,
                         ParseSignal(invocation.Get("signal", "KILL")));
  return ForEachContainer(invocation, [&](Client& client) {
    return SendSignal(client, signal, invocation.Has("all"));
  });
}

// Pause and Resume, from one status to another.
absl::StatusOr<int> Freeze(const Invocation& invocation, const char* method,
                           containerd::v1::types::Status wanted) {
  return ForEachContainer(
      invocation, [&](Client& client) -> absl::StatusOr<Json> {
        HYDRA_ASSIGN_OR_RETURN(const task::StateResponse state,
                               StateOf(client));
        if (state.status() == wanted) return Json{{"changed", false}};
        if (state.status() == containerd::v1::types::STOPPED ||
            state.status() == containerd::v1::types::CREATED) {
          return FailedPrecondition("container " + client.instance().id +
                                    " is " + StatusText(state.status()) +
                                    ": it does not run");
        }
        task::PauseRequest request;
        request.set_id(client.instance().id);
        const auto answer = client.Task(method, request);
        if (!answer.ok()) return answer.status();
        return Json{{"changed", true}};
      });
}

absl::StatusOr<int> Pause(const Invocation& invocation) {
  return Freeze(invocation, "Pause", containerd::v1::types::PAUSED);
}

absl::StatusOr<int> Unpause(const Invocation& invocation) {
  return Freeze(invocation, "Resume", containerd::v1::types::RUNNING);
}

absl::StatusOr<int> Wait(const Invocation& invocation) {
  int last = 0;
  for (const std::string& name : invocation.arguments()) {
    HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                           ClientOf(invocation, name));
    client->SetProgress("waiting for");
    task::WaitRequest request;
    request.set_id(client->instance().id);
    HYDRA_ASSIGN_OR_RETURN(const task::WaitResponse response,
                           client->Task<task::WaitResponse>("Wait", request));
    last = static_cast<int>(response.exit_status());
    if (!invocation.json()) {
      HYDRA_RETURN_IF_ERROR(Print(std::to_string(last) + "\n"));
      continue;
    }
    Json object = IdentityOf(client->instance());
    object["exit_status"] = last;
    object["exited_at"] = TimeJson(response.exited_at().seconds() * kSecond +
                                   response.exited_at().nanos());
    HYDRA_RETURN_IF_ERROR(PrintJson(object));
  }
  return last;
}

absl::StatusOr<Json> RemoveOne(Client& client, bool force) {
  v1::RemoveRequest request;
  request.set_force(force);
  client.SetProgress("removing");
  const auto removed = client.Instance<v1::RemoveResponse>("Remove", request);
  if (absl::IsUnavailable(removed.status())) {
    // Its monitor is dead, or gone since we looked for it.
    HYDRA_RETURN_IF_ERROR(RemoveDead(client.instance(), force));
  } else if (!removed.ok()) {
    return removed.status();
  }
  return Json{{"changed", true}};
}

absl::StatusOr<int> Remove(const Invocation& invocation) {
  bool failed = false;
  for (const std::string& name : invocation.arguments()) {
    absl::StatusOr<FoundInstance> instance = FindContainer(invocation, name);
    absl::StatusOr<Json> result = NotFound("container " + name);
    Json object = {{"id", name}};
    if (instance.ok()) {
      HYDRA_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                             TimeoutOf(invocation));
      object = IdentityOf(*instance);
      Client client(*std::move(instance), timeout);
      result = RemoveOne(client, invocation.Has("force"));
    } else if (absl::IsNotFound(instance.status())) {
      result = Json{{"changed", false}};
    } else {
      result = instance.status();
    }
    if (!result.ok()) {
      failed = true;
      Complain(invocation.json(), invocation.verb().name, result.status(),
               name);
      continue;
    }
    object.update(*result);
    HYDRA_RETURN_IF_ERROR(invocation.json() ? PrintJson(object)
                                            : Print(name + "\n"));
  }
  return failed ? kFailedStatus : 0;
}

}  // namespace

Verb StopVerb() {
  return {"stop",
          {},
          "End containers: with a signal, then with SIGKILL",
          "Also ends the restarts that a policy would bring. A container that "
          "has ended before stays as it is. Several have their time at once.",
          {kContainers},
          {TimeOption(),
           {"-s,--signal", "SIGNAL", "the first signal; TERM if not given"}},
          "object for each container: changed, exit_status",
          Stop};
}

Verb KillVerb() {
  return {"kill",
          {},
          "Send a signal to containers",
          "KILL also ends the restarts that a policy would bring; any other "
          "signal is only sent.",
          {kContainers},
          {{"-s,--signal", "SIGNAL", "KILL if not given"},
           {"-a,--all", "", "to all processes of the container"}},
          "object for each container: changed",
          Kill};
}

Verb RestartVerb() {
  return {"restart",
          {},
          "End containers and start them again in the same place",
          "With the same bundle, streams and log. An engine that has the "
          "container sees the same task go on with another pid.",
          {kContainers},
          {TimeOption(),
           {"-s,--signal", "SIGNAL", "the first signal; TERM if not given"}},
          "object for each container: changed, pid, exit_status_before",
          Restart};
}

Verb PauseVerb() {
  return {"pause",
          {},
          "Freeze all processes of containers",
          "With the kernel's freezer: they notice nothing but the time.",
          {kContainers},
          {},
          "object for each container: changed",
          Pause};
}

Verb UnpauseVerb() {
  return {
      "unpause",     {"resume"}, "Let paused containers go on",        "",
      {kContainers}, {},         "object for each container: changed", Unpause};
}

Verb WaitVerb() {
  return {"wait",
          {},
          "Wait until containers have ended",
          "Prints the exit status of each; that of the last one is the "
          "command's own. Of a container that has ended it is told at once.",
          {kContainers},
          {},
          "object for each container: exit_status, exited_at",
          Wait,
          kOwnStatus};
}

Verb RemoveVerb() {
  return {"rm",
          {"remove"},
          "Remove containers that have ended, with their logs",
          "Only those that were made by `hydra`: an engine removes its own. "
          "One that is not there is no error.",
          {kContainers},
          {{"-f,--force", "", "kill those that run"}},
          "object for each container: changed",
          Remove};
}

}  // namespace hydra::command
