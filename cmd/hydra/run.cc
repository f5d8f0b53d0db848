// run, create, start.

#include <poll.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "cmd/hydra/client.h"
#include "cmd/hydra/container_options.h"
#include "cmd/hydra/each.h"
#include "cmd/hydra/feed.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/foreground.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "containerd/task/v2/task.pb.h"
#include "hydra/v1/instance.pb.h"
#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

absl::StatusOr<std::shared_ptr<Client>> MakeInstance(
    const Invocation& invocation, const NewContainer& container) {
  HYDRA_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                         TimeoutOf(invocation));
  HYDRA_ASSIGN_OR_RETURN(FoundInstance instance,
                         invocation.Has("lazy")
                             ? BecomeInstance(container.place, container.spec)
                             : StartInstance(container.place, container.spec));
  return std::make_shared<Client>(std::move(instance), timeout);
}

// What could not be run is not kept.
void Undo(Client* client) {
  v1::RemoveRequest request;
  request.set_force(true);
  // The error that led here is the one to tell.
  (void)client->Instance<v1::RemoveResponse>("Remove", request);
}

absl::Status WriteFiles(const Invocation& invocation,
                        const FoundInstance& instance, uint32_t pid) {
  if (invocation.Has("cidfile")) {
    HYDRA_RETURN_IF_ERROR(
        ReplaceFile(invocation.Get("cidfile"), instance.id, 0644));
  }
  if (!invocation.Has("pidfile")) return absl::OkStatus();
  return ReplaceFile(invocation.Get("pidfile"), std::to_string(pid), 0644);
}

absl::Status TellMade(const Invocation& invocation,
                      const FoundInstance& instance, uint32_t pid) {
  if (!invocation.json()) return Print(instance.id + "\n");
  Json object = IdentityOf(instance);
  object["pid"] = pid;
  object["socket"] = instance.socket;
  return PrintJson(object);
}

// Makes the container, and starts it unless `create_only`; this command does
// not stay with it.
absl::StatusOr<int> RunDetached(const Invocation& invocation,
                                NewContainer container, bool create_only) {
  container.request.set_create_only(create_only);
  HYDRA_ASSIGN_OR_RETURN(const std::shared_ptr<Client> client,
                         MakeInstance(invocation, container));
  const auto response =
      client->Instance<v1::RunResponse>("Run", container.request);
  if (!response.ok()) {
    const int exit_status = TellStartFailure(invocation, response.status());
    if (invocation.Has("lazy")) {
      AbandonInstance(client->instance());
    } else {
      Undo(client.get());
    }
    return exit_status;
  }
  HYDRA_RETURN_IF_ERROR(
      WriteFiles(invocation, client->instance(), response->pid()));
  HYDRA_RETURN_IF_ERROR(
      TellMade(invocation, client->instance(), response->pid()));
  return 0;
}

// The instance removes itself; its name is free when this returns.
void AwaitRemoval(Client* client) {
  v1::RemoveRequest request;
  // That it is gone already is what is wanted.
  (void)client->Instance<v1::RemoveResponse>("Remove", request);
}

absl::StatusOr<int> RunAttached(const Invocation& invocation,
                                NewContainer container) {
  v1::RunRequest& request = container.request;
  HYDRA_ASSIGN_OR_RETURN(Session::Options options, SessionOptions(invocation));
  options.terminal = request.terminal();
  options.input = request.input();
  HYDRA_ASSIGN_OR_RETURN(const std::shared_ptr<Client> client,
                         MakeInstance(invocation, container));
  const absl::StatusOr<std::shared_ptr<Session>> session =
      Session::Make(client, options);
  const absl::StatusOr<std::shared_ptr<FifoFeed>> feed =
      FifoFeed::Make(client, container.place.paths.directory,
                     request.terminal(), request.input(), invocation.json());
  if (!session.ok() || !feed.ok()) {
    Undo(client.get());
    return session.ok() ? feed.status() : session.status();
  }
  request.set_stdin((*feed)->stdin_path());
  request.set_stdout((*feed)->stdout_path());
  request.set_stderr((*feed)->stderr_path());
  Session::Start start = {
      kInstanceService, "Run", request.SerializeAsString(),
      [&](const std::string& answer) -> absl::Status {
        ReapStarter();
        HYDRA_ASSIGN_OR_RETURN(const v1::RunResponse made,
                               Client::Parsed<v1::RunResponse>(answer));
        HYDRA_RETURN_IF_ERROR(
            WriteFiles(invocation, client->instance(), made.pid()));
        if (!invocation.json()) return absl::OkStatus();
        Json object = {{"type", "created"}};
        object.update(IdentityOf(client->instance()));
        object["pid"] = made.pid();
        object["socket"] = client->instance().socket;
        return PrintJson(object);
      }};
  const absl::StatusOr<Session::End> end =
      (*session)->Run(std::move(start), *feed);
  if (!end.ok() && (*session)->started()) return end.status();
  if (!end.ok()) {
    Undo(client.get());
    return TellStartFailure(invocation, end.status());
  }
  if (request.remove() && !end->detached) AwaitRemoval(client.get());
  return FinishSession(invocation, client->instance(), *end);
}

absl::StatusOr<int> Run(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(NewContainer container,
                         ReadContainerOptions(invocation));
  if (invocation.Has("detach") || invocation.Has("lazy")) {
    return RunDetached(invocation, std::move(container), false);
  }
  return RunAttached(invocation, std::move(container));
}

absl::StatusOr<int> Create(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(NewContainer container,
                         ReadContainerOptions(invocation));
  return RunDetached(invocation, std::move(container), true);
}

absl::StatusOr<Json> StartOne(Client& client) {
  HYDRA_ASSIGN_OR_RETURN(const v1::InspectResponse before, client.Inspect());
  const auto status = before.container().status();
  if (status == containerd::v1::types::STOPPED) {
    HYDRA_ASSIGN_OR_RETURN(
        const v1::RestartResponse response,
        client.Instance<v1::RestartResponse>("Restart", v1::RestartRequest()));
    return Json{{"changed", true}, {"pid", response.pid()}};
  }
  if (status != containerd::v1::types::CREATED) {
    return Json{{"changed", false}, {"pid", before.container().pid()}};
  }
  containerd::task::v2::StartRequest request;
  request.set_id(client.instance().id);
  HYDRA_ASSIGN_OR_RETURN(
      const auto response,
      client.Task<containerd::task::v2::StartResponse>("Start", request));
  return Json{{"changed", true}, {"pid", response.pid()}};
}

absl::StatusOr<int> Start(const Invocation& invocation) {
  if (!invocation.Has("attach") && !invocation.Has("interactive")) {
    return ForEachContainer(invocation, StartOne);
  }
  if (invocation.arguments().size() != 1) {
    return InvalidArgument("--attach: with one container alone");
  }
  return AttachTo(invocation, invocation.arguments()[0], StartOne);
}

std::vector<Option> WithContainerOptions(std::vector<Option> options) {
  options.insert(options.end(), ContainerOptions().begin(),
                 ContainerOptions().end());
  return options;
}

const Argument kCommand = {
    "COMMAND", "the program and its arguments; a bundle has its own",
    Argument::Count::kAny, "", true};

}  // namespace

Verb RunVerb() {
  return {
      "run",
      {},
      "Make a container, start it, and stay with it until it ends",
      "It belongs to no engine and needs none: its own monitor supervises "
      "it. The command's exit status is the container's; 125 if hydra "
      "itself failed, 126 if the program cannot be executed, 127 if there "
      "is none.\n\nWith --timeout, a container that has not ended in time "
      "is killed.",
      {kCommand},
      WithContainerOptions(
          {{"-d,--detach", "", "do not stay; print the id"},
           {"--detach-keys", "KEYS",
            "that leave a container with -it alone; ctrl-p,ctrl-q if not "
            "given"},
           {"--no-sig-proxy", "", "signals that we get are not sent to it"}}),
      "object with -d; otherwise a stream of created, output, exited",
      Run,
      kOwnStatus};
}

Verb CreateVerb() {
  return {"create",
          {},
          "Make a container without starting it",
          "`hydra start` starts it.",
          {kCommand},
          WithContainerOptions({}),
          "object: namespace, id, pid, socket",
          Create,
          kOwnStatus};
}

Verb StartVerb() {
  return {"start",
          {},
          "Start containers that were made, or have ended",
          "One that runs stays as it is.",
          {{"CONTAINER", "see `hydra help stop`", Argument::Count::kMany,
            "container"}},
          {{"-a,--attach", "", "stay with it until it ends"},
           {"-i,--interactive", "", "and give it our input"},
           {"--detach-keys", "KEYS", "as for run"},
           {"--no-sig-proxy", "", "signals that we get are not sent to it"}},
          "object for each container: changed, pid",
          Start,
          kOwnStatus};
}

}  // namespace hydra::command
