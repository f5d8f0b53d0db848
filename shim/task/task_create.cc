// Create: what makes the container, and its undoing.

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "containerd/events/task.pb.h"
#include "shim/base/crash_point.h"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/mount/mount.h"
#include "shim/oci/spec.h"
#include "shim/runtime/bundle.h"
#include "shim/runtime/options.h"
#include "shim/task/task_service.h"
#include "shim/task/topics.h"

namespace hydra {
namespace {

// The operations of one request.
enum Step : uint32_t { kRunStep = 1, kUndoStep = 2 };

std::vector<Mount> ToMounts(const task::CreateTaskRequest& request) {
  std::vector<Mount> mounts;
  for (const auto& rootfs : request.rootfs()) {
    Mount& mount = mounts.emplace_back();
    mount.type = rootfs.type();
    mount.source = rootfs.source();
    mount.target = rootfs.target();
    mount.options.assign(rootfs.options().begin(), rootfs.options().end());
  }
  return mounts;
}

}  // namespace

absl::StatusOr<state::Container> TaskService::NewContainer(
    const Call& call, const task::CreateTaskRequest& request) {
  if (!request.bundle().starts_with('/')) {
    return InvalidArgument("bundle \"" + request.bundle() +
                           "\": not an absolute path");
  }
  HYDRA_ASSIGN_OR_RETURN(const RuntimeOptions options,
                         DecodeOptions(request.options()));
  for (const auto& warning : options.warnings) LogWarning(warning);
  HYDRA_ASSIGN_OR_RETURN(const Spec spec,
                         LoadSpec(request.bundle() + "/config.json"));
  OutputOptions output = options.output;
  std::vector<std::string> warnings;
  HYDRA_RETURN_IF_ERROR(
      ApplyOutputAnnotations(spec.annotations, &output, &warnings));
  for (const auto& warning : warnings) LogWarning(warning);
  state::Container container;
  state::Spool* spool = container.mutable_spool();
  spool->set_policy(static_cast<uint32_t>(output.spool_policy));
  spool->set_max_bytes(output.spool_max_bytes);
  spool->set_stall_ms(output.spool_stall_ms);
  if (output.log_max_bytes > 0) {
    container.mutable_log()->set_max_bytes(output.log_max_bytes);
  }
  container.set_created_at(UnixNow());
  container.set_bundle(request.bundle());
  container.set_has_rootfs_mounts(request.rootfs_size() > 0);
  *container.mutable_options() = options.options;
  if (options.options.root().empty()) {
    container.mutable_options()->set_root(
        instance_.config().paths.runtime_root);
  }
  container.set_checkpoint(request.checkpoint());
  container.set_parent_checkpoint(request.parent_checkpoint());
  container.set_private_pid_namespace(spec.has_private_pid_namespace);
  state::Process* init = container.mutable_init();
  init->set_phase(state::PHASE_CREATING);
  init->set_terminal(request.terminal());
  init->set_stdin(request.stdin());
  init->set_stdout(request.stdout());
  init->set_stderr(request.stderr());
  init->set_token(call.token);
  return container;
}

// The bundle, where an engine expects them, is in memory with an engine. A
// container of our own has its on a disk.
absl::Status TaskService::PlacePids(state::Container* container) {
  if (!container->has_native()) return absl::OkStatus();
  container->set_pid_directory(instance_.config().paths.pids);
  if (mkdir(container->pid_directory().c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "make", container->pid_directory());
  }
  HYDRA_CRASH_POINT("task.pids_placed");
  return absl::OkStatus();
}

TaskService::Reply<task::CreateTaskResponse> TaskService::Create(
    Call call, task::CreateTaskRequest request) {
  return CreateWith(std::move(call), std::move(request), nullptr, false);
}

TaskService::Reply<task::CreateTaskResponse> TaskService::CreateNative(
    Call call, task::CreateTaskRequest request, state::Native native,
    uint64_t log_max_bytes, bool starts) {
  return CreateWith(
      std::move(call), std::move(request),
      [native = std::move(native), log_max_bytes](state::Container* container) {
        *container->mutable_native() = native;
        if (log_max_bytes > 0) {
          container->mutable_log()->set_max_bytes(log_max_bytes);
        }
      },
      starts);
}

TaskService::Reply<task::CreateTaskResponse> TaskService::CreateWith(
    Call call, task::CreateTaskRequest request,
    std::function<void(state::Container*)> prepare, bool starts) {
  state::Record& record = instance_.record();
  if (request.id() != instance_.config().id) {
    co_return InvalidArgument("this shim serves container " +
                              instance_.config().id + ", not \"" +
                              request.id() + "\"");
  }
  const bool again = record.has_container() &&
                     record.container().init().token() == call.token &&
                     record.container().init().phase() == state::PHASE_CREATING;
  if (record.has_container() && !again) {
    co_return AlreadyExists("container " + request.id() + ": already exists");
  }
  if (!again) {
    HYDRA_CO_ASSIGN_OR_RETURN(state::Container container,
                              NewContainer(call, request));
    HYDRA_CO_RETURN_IF_ERROR(
        SaveOptions(container.bundle(), container.options()));
    if (prepare != nullptr) prepare(&container);
    HYDRA_CO_RETURN_IF_ERROR(PlacePids(&container));
    instance_.AddContainer(std::move(container));
    absl::Status saved = instance_.Save();
    if (!saved.ok()) {
      instance_.RemoveContainer();
      co_return saved;
    }
  }
  const auto live = instance_.live(record.container().init());
  absl::Status status = co_await MountAndCreate(call, request, live, starts);
  if (!status.ok()) {
    co_await UndoCreate(call, live);
    co_return status;
  }
  state::Container* container = record.mutable_container();
  state::Process* init = container->mutable_init();
  const bool from_checkpoint = !request.checkpoint().empty();
  init->set_phase(from_checkpoint ? state::PHASE_CREATED_CHECKPOINT
                                  : state::PHASE_CREATED);
  init->set_token(0);
  containerd::events::TaskCreate event;
  event.set_container_id(request.id());
  event.set_bundle(request.bundle());
  *event.mutable_rootfs() = request.rootfs();
  event.mutable_io()->set_stdin(request.stdin());
  event.mutable_io()->set_stdout(request.stdout());
  event.mutable_io()->set_stderr(request.stderr());
  event.mutable_io()->set_terminal(request.terminal());
  event.set_checkpoint(request.checkpoint());
  event.set_pid(init->pid());
  instance_.Emit(kTaskCreateTopic, event);
  if (starts) InitStarted();
  instance_.made().Set(true);
  task::CreateTaskResponse response;
  response.set_pid(init->pid());
  co_return response;
}

Async<absl::Status> TaskService::MountAndCreate(
    Call call, task::CreateTaskRequest request,
    std::shared_ptr<Instance::Live> live, bool starts) {
  const OperationKey key = call.Key(kRunStep);
  const uint64_t number = instance_.record().container().init().number();
  const auto runtime = instance_.runtime();
  if (request.rootfs_size() > 0 && !instance_.monitor()->Knows(key)) {
    std::function<absl::Status()> mount =
        [mounts = ToMounts(request), rootfs = request.bundle() + "/rootfs",
         taken_over = instance_.monitor()->welcome().generation > 1] {
          // A head before us may have been here.
          if (taken_over) HYDRA_RETURN_IF_ERROR(UnmountRecursive(rootfs));
          return MountRootfs(mounts, rootfs);
        };
    absl::Status mounted =
        co_await RunBlocking<absl::Status>(loop_, std::move(mount));
    if (!mounted.ok()) {
      co_return Unknown("failed to mount rootfs component: " +
                        Message(mounted));
    }
  }
  if (!request.checkpoint().empty()) co_return absl::OkStatus();

  absl::StatusOr<ProcessStdio> stdio = co_await OpenStdio(key, number, live);
  if (!stdio.ok()) {
    co_return Annotate(stdio.status(), "failed to create init process I/O");
  }
  absl::Status created = co_await runtime->Create(
      key, *std::move(stdio),
      starts ? Runtime::Then::kStart : Runtime::Then::kWait);
  live->stdio->CloseContainerEnds();
  if (!created.ok()) co_return created;
  live->stdio->StartOutput();
  const absl::StatusOr<pid_t> pid = ReadPidFile(runtime->InitPidFile());
  if (!pid.ok()) {
    co_return Annotate(pid.status(),
                       "failed to retrieve OCI runtime container pid");
  }
  instance_.record().mutable_container()->mutable_init()->set_pid(
      static_cast<uint32_t>(*pid));
  instance_.monitor()->Claim(number, *pid);
  instance_.EnterCgroup(*pid);
  co_return absl::OkStatus();
}

Async<void> TaskService::UndoCreate(Call call,
                                    std::shared_ptr<Instance::Live> live) {
  const auto runtime = instance_.runtime();
  const state::Container container = instance_.record().container();
  // A runtime that failed has cleaned up after itself. One that was killed, or
  // whose pid file is bad, has not.
  if (access((runtime->Root() + "/" + instance_.config().id).c_str(), F_OK) ==
      0) {
    absl::Status deleted = co_await runtime->Delete(call.Key(kUndoStep), true);
    if (!deleted.ok()) LogWarning("undo create, ignoring: ", Message(deleted));
  }
  if (live->stdio != nullptr) co_await live->stdio->Close();
  if (container.has_rootfs_mounts()) {
    absl::Status unmounted = co_await UnmountRootfs(container.bundle());
    if (!unmounted.ok()) {
      LogWarning("undo create, ignoring: ", Message(unmounted));
    }
  }
  instance_.RemoveContainer();
}

}  // namespace hydra
