// update, checkpoint, restore.

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include "cmd/hydra/client.h"
#include "cmd/hydra/container_options.h"
#include "cmd/hydra/each.h"
#include "cmd/hydra/find.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "containerd/runc/v1/options.pb.h"
#include "containerd/task/v2/task.pb.h"
#include "hydra/v1/instance.pb.h"
#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

namespace task = containerd::task::v2;

constexpr size_t kMaxConfig = 10 << 20;
constexpr char kResourcesType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
constexpr char kCheckpointType[] = "containerd.runc.v1.CheckpointOptions";
// In a checkpoint's directory, beside CRIU's images: what restore needs.
constexpr char kSavedConfig[] = "/hydra-config.json";

absl::StatusOr<int> Update(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const Json limits, ReadResourceLimits(invocation));
  if (limits.empty()) {
    return InvalidArgument("what? Give --memory, --cpus or --pids-limit");
  }
  return ForEachContainer(
      invocation, [&](Client& client) -> absl::StatusOr<Json> {
        task::UpdateTaskRequest request;
        request.set_id(client.instance().id);
        request.mutable_resources()->set_type_url(kResourcesType);
        request.mutable_resources()->set_value(limits.dump());
        HYDRA_RETURN_IF_ERROR(client.Task("Update", request).status());
        return Json{{"changed", true}};
      });
}

absl::StatusOr<std::string> MakeCheckpointDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return ErrnoError(error.value(), "make directory", path);
  char buffer[PATH_MAX];
  if (realpath(path.c_str(), buffer) == nullptr) {
    return ErrnoError(errno, "checkpoint directory", path);
  }
  return std::string(buffer);
}

absl::StatusOr<int> Checkpoint(const Invocation& invocation) {
  HYDRA_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client,
                         ClientOf(invocation, invocation.arguments()[0]));
  HYDRA_ASSIGN_OR_RETURN(const v1::InspectResponse inspected,
                         client->Inspect());
  HYDRA_ASSIGN_OR_RETURN(const std::string directory,
                         MakeCheckpointDirectory(invocation.arguments()[1]));
  HYDRA_ASSIGN_OR_RETURN(
      const std::string config,
      ReadFile(inspected.container().bundle() + "/config.json", kMaxConfig));
  HYDRA_RETURN_IF_ERROR(ReplaceFile(directory + kSavedConfig, config, 0600));
  containerd::runc::v1::CheckpointOptions options;
  options.set_exit(!invocation.Has("leave-running"));
  options.set_open_tcp(invocation.Has("tcp-established"));
  options.set_external_unix_sockets(invocation.Has("ext-unix-sk"));
  options.set_terminal(invocation.Has("shell-job"));
  options.set_file_locks(invocation.Has("file-locks"));
  task::CheckpointTaskRequest request;
  request.set_id(client->instance().id);
  request.set_path(directory);
  request.mutable_options()->set_type_url(kCheckpointType);
  options.SerializeToString(request.mutable_options()->mutable_value());
  client->SetProgress("saving");
  const auto saved = client->Task("Checkpoint", request);
  if (!saved.ok()) {
    // Alone it is of no use.
    unlink((directory + kSavedConfig).c_str());
    return saved.status();
  }
  if (!invocation.json()) {
    HYDRA_RETURN_IF_ERROR(Print(directory + "\n"));
    return 0;
  }
  Json object = IdentityOf(client->instance());
  object["directory"] = directory;
  HYDRA_RETURN_IF_ERROR(PrintJson(object));
  return 0;
}

absl::StatusOr<int> Restore(const Invocation& invocation) {
  char buffer[PATH_MAX];
  const std::string path = invocation.arguments()[0];
  if (realpath(path.c_str(), buffer) == nullptr) {
    return ErrnoError(errno, "checkpoint", path);
  }
  const std::string directory = buffer;
  HYDRA_ASSIGN_OR_RETURN(
      NewContainer container,
      ReadRestoreOptions(invocation, directory, directory + kSavedConfig));
  HYDRA_ASSIGN_OR_RETURN(const std::chrono::milliseconds timeout,
                         TimeoutOf(invocation));
  HYDRA_ASSIGN_OR_RETURN(FoundInstance instance,
                         StartInstance(container.place, container.spec));
  Client client(std::move(instance), timeout);
  client.SetProgress("restoring");
  const auto response =
      client.Instance<v1::RunResponse>("Run", container.request);
  if (!response.ok()) {
    v1::RemoveRequest remove;
    remove.set_force(true);
    // The error that led here is the one to tell.
    (void)client.Instance<v1::RemoveResponse>("Remove", remove);
    return response.status();
  }
  if (!invocation.json()) {
    HYDRA_RETURN_IF_ERROR(Print(client.instance().id + "\n"));
    return 0;
  }
  Json object = IdentityOf(client.instance());
  object["pid"] = response->pid();
  object["socket"] = client.instance().socket;
  HYDRA_RETURN_IF_ERROR(PrintJson(object));
  return 0;
}

}  // namespace

Verb UpdateVerb() {
  return {"update",
          {},
          "Change the limits of containers",
          "What is not given stays as it is.",
          {{"CONTAINER", "see `hydra help stop`", Argument::Count::kMany,
            "container"}},
          {{"-m,--memory", "SIZE", "at most: 512m, 2g"},
           {"--cpus", "NUMBER", "at most: 1.5"},
           {"--pids-limit", "NUMBER", "processes and threads, at most"}},
          "object for each container: changed",
          Update};
}

Verb CheckpointVerb() {
  return {"checkpoint",
          {},
          "Save a running container's state to a directory",
          "With CRIU, which runc needs for it. `hydra restore` makes a "
          "container of it that goes on where this one was.",
          {{"CONTAINER", "see `hydra help stop`", Argument::Count::kOne,
            "container"},
           {"DIRECTORY", "made if it is not there", Argument::Count::kOne,
            "directory"}},
          {{"--leave-running", "", "it is not ended"},
           {"--tcp-established", "", "with connections"},
           {"--ext-unix-sk", "", "with unix sockets to others"},
           {"--shell-job", "", "with a terminal of ours"},
           {"--file-locks", "", "with locks on files"}},
          "object: directory",
          Checkpoint};
}

Verb RestoreVerb() {
  return {"restore",
          {},
          "Make a container of a checkpoint, and let it go on",
          "With the bundle that it had: its root file system must be where it "
          "was.",
          {{"DIRECTORY", "of `hydra checkpoint`", Argument::Count::kOne,
            "directory"}},
          {{"--name", "NAME", "the container's id; 12 hex digits if not given"},
           {"--rm", "", "remove it when it has ended"},
           {"--restart", "POLICY", "as for run"},
           {"--log-max-size", "SIZE", "as for run"}},
          "object: namespace, id, pid, socket",
          Restore,
          kOwnStatus};
}

}  // namespace hydra::command
