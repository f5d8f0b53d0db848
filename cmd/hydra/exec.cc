// exec.

#include <memory>
#include <string>
#include <utility>

#include "cmd/hydra/client.h"
#include "cmd/hydra/each.h"
#include "cmd/hydra/feed.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/foreground.h"
#include "cmd/hydra/native.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/spec.h"
#include "cmd/hydra/verbs.h"
#include "containerd/task/v2/task.pb.h"
#include "hydra/v1/instance.pb.h"
#include "shim/base/file.h"
#include "shim/base/status.h"
#include "shim/io/sink.h"

namespace hydra::command {
namespace {

namespace task = containerd::task::v2;

constexpr size_t kMaxConfig = 10 << 20;
constexpr char kProcessType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/Process";

// As the container's own process, but for what the invocation says.
absl::StatusOr<Json> ProcessSpec(const Invocation& invocation,
                                 const v1::Container& container) {
  HYDRA_ASSIGN_OR_RETURN(
      const std::string text,
      ReadFile(container.bundle() + "/config.json", kMaxConfig));
  const Json config = Json::parse(text, nullptr, false);
  if (!config.is_object() || !config.contains("process") ||
      !config["process"].is_object()) {
    return DataLoss(container.bundle() + "/config.json: no process in it");
  }
  Json process = config["process"];
  process.erase("commandLine");
  process.erase("consoleSize");
  process["args"] = std::vector<std::string>(invocation.arguments().begin() + 1,
                                             invocation.arguments().end());
  process["terminal"] = invocation.Has("tty");
  if (!process["env"].is_array()) process["env"] = Json::array();
  for (const std::string& variable : invocation.All("env")) {
    process["env"].push_back(variable);
  }
  if (invocation.Has("workdir")) process["cwd"] = invocation.Get("workdir");
  if (invocation.Has("user")) {
    HYDRA_ASSIGN_OR_RETURN(
        process["user"],
        FindUser("/proc/" + std::to_string(container.pid()) + "/root",
                 invocation.Get("user")));
  }
  if (invocation.Has("privileged")) {
    process["capabilities"] = AllCapabilities();
  }
  return process;
}

absl::StatusOr<task::ExecProcessRequest> MakeRequest(
    const Invocation& invocation, Client* client) {
  HYDRA_ASSIGN_OR_RETURN(const v1::InspectResponse inspected,
                         client->Inspect());
  const auto status = inspected.container().status();
  if (status != containerd::v1::types::RUNNING &&
      status != containerd::v1::types::CREATED) {
    return FailedPrecondition("container " + client->instance().id + " is " +
                              StatusText(status) +
                              ": nothing can be run in it");
  }
  HYDRA_ASSIGN_OR_RETURN(const Json process,
                         ProcessSpec(invocation, inspected.container()));
  task::ExecProcessRequest request;
  request.set_id(client->instance().id);
  request.set_exec_id(RandomId());
  request.set_terminal(invocation.Has("tty"));
  request.set_stdout(kNobodyName);
  if (!request.terminal()) request.set_stderr(kNobodyName);
  request.mutable_spec()->set_type_url(kProcessType);
  request.mutable_spec()->set_value(process.dump());
  return request;
}

// What could not be started is not kept.
void Undo(Client* client, const task::ExecProcessRequest& request) {
  task::DeleteRequest remove;
  remove.set_id(request.id());
  remove.set_exec_id(request.exec_id());
  // The error that led here is the one to tell.
  (void)client->Task<task::DeleteResponse>("Delete", remove);
}

absl::StatusOr<int> ExecDetached(const Invocation& invocation, Client* client,
                                 const task::ExecProcessRequest& request) {
  HYDRA_RETURN_IF_ERROR(client->Task("Exec", request).status());
  task::StartRequest start;
  start.set_id(request.id());
  start.set_exec_id(request.exec_id());
  const auto started = client->Task<task::StartResponse>("Start", start);
  if (!started.ok()) {
    Undo(client, request);
    return TellStartFailure(invocation, started.status());
  }
  if (!invocation.json()) return 0;
  Json object = IdentityOf(client->instance());
  object["exec_id"] = request.exec_id();
  object["pid"] = started->pid();
  HYDRA_RETURN_IF_ERROR(PrintJson(object));
  return 0;
}

absl::StatusOr<int> ExecAttached(const Invocation& invocation,
                                 std::shared_ptr<Client> client,
                                 task::ExecProcessRequest request) {
  HYDRA_ASSIGN_OR_RETURN(Session::Options options, SessionOptions(invocation));
  options.exec_id = request.exec_id();
  options.terminal = request.terminal();
  options.input = invocation.Has("interactive");
  HYDRA_ASSIGN_OR_RETURN(const std::shared_ptr<Session> session,
                         Session::Make(client, options));
  HYDRA_ASSIGN_OR_RETURN(const InstancePaths paths,
                         PathsOfInstance(client->instance()));
  HYDRA_ASSIGN_OR_RETURN(
      const std::shared_ptr<FifoFeed> feed,
      FifoFeed::Make(client, paths.directory, options.terminal, options.input,
                     invocation.json()));
  if (options.input) request.set_stdin(kClientPrefix + feed->stdin_path());
  request.set_stdout(kClientPrefix + feed->stdout_path());
  if (!options.terminal) {
    request.set_stderr(kClientPrefix + feed->stderr_path());
  }
  HYDRA_RETURN_IF_ERROR(client->Task("Exec", request).status());
  const absl::StatusOr<Session::End> end =
      session->Run(session->StartOfMade(), feed);
  if (end.ok()) return FinishSession(invocation, client->instance(), *end);
  if (session->started()) return end.status();
  Undo(client.get(), request);
  return TellStartFailure(invocation, end.status());
}

absl::StatusOr<int> Exec(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(std::shared_ptr<Client> client,
                         ClientOf(invocation, invocation.arguments()[0]));
  HYDRA_ASSIGN_OR_RETURN(task::ExecProcessRequest request,
                         MakeRequest(invocation, client.get()));
  if (invocation.Has("detach")) {
    return ExecDetached(invocation, client.get(), request);
  }
  return ExecAttached(invocation, std::move(client), std::move(request));
}

}  // namespace

Verb ExecVerb() {
  return {"exec",
          {},
          "Run another process in a container",
          "With the container's variables, user and capabilities, unless told "
          "otherwise. The exit status is the process's; 125 if hydra itself "
          "failed, 126 if the program cannot be executed, 127 if there is "
          "none.\n\nWith --timeout, a process that has not ended in time is "
          "killed.",
          {{"CONTAINER", "see `hydra help stop`", Argument::Count::kOne,
            "container"},
           {"COMMAND", "the program and its arguments", Argument::Count::kMany,
            "", true}},
          {{"-d,--detach", "", "do not stay with it"},
           {"-t,--tty", "", "give it a terminal"},
           {"-i,--interactive", "", "give it our input"},
           {"-e,--env", "NAME=VALUE", "set a variable", true},
           {"-w,--workdir", "DIRECTORY", "where it starts"},
           {"-u,--user", "USER[:GROUP]", "names or numbers"},
           {"--privileged", "", "all capabilities"},
           {"--detach-keys", "KEYS", "as for run"},
           {"--no-sig-proxy", "", "signals that we get are not sent to it"}},
          "object with -d: exec_id, pid; otherwise a stream of output, exited",
          Exec,
          kOwnStatus};
}

}  // namespace hydra::command
