#include "test/bench/shim_instance.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "containerd/task/v2/task.pb.h"
#include "google/protobuf/empty.pb.h"
#include "shim/base/status.h"
#include "test/bench/command.h"

namespace hydra::bench {
namespace {

namespace task = containerd::task::v2;
using google::protobuf::Empty;
using nlohmann::json;

json Mount(const char* destination, const char* type) {
  return {{"destination", destination}, {"type", type}, {"source", type}};
}

json Spec(const Setup& setup, const std::string& cgroup,
          const std::vector<std::string>& command) {
  json namespaces = json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount"}) {
    namespaces.push_back({{"type", type}});
  }
  return {{"ociVersion", "1.0.2"},
          {"hostname", "bench"},
          {"root", {{"path", setup.rootfs}, {"readonly", true}}},
          {"process",
           {{"cwd", "/"},
            {"args", command},
            {"env", {"PATH=/bin"}},
            {"user", {{"uid", 0}, {"gid", 0}}},
            {"noNewPrivileges", true}}},
          {"mounts", {Mount("/proc", "proc"), Mount("/dev", "tmpfs")}},
          {"linux", {{"cgroupsPath", cgroup}, {"namespaces", namespaces}}}};
}

}  // namespace

absl::Status WriteBundle(const Setup& setup, const std::string& path,
                         const std::string& cgroup,
                         const std::vector<std::string>& command) {
  std::error_code error;
  std::filesystem::create_directories(path + "/rootfs", error);
  if (error) return ErrnoError(error.value(), "mkdir", path);
  std::ofstream file(path + "/config.json");
  file << Spec(setup, cgroup, command);
  file.close();
  if (!file) return ErrnoError(EIO, "write", path + "/config.json");
  return absl::OkStatus();
}

ShimInstance::ShimInstance(const Setup& setup, const Subject& subject,
                           const std::string& id)
    : setup_(&setup),
      subject_(&subject),
      id_(id),
      bundle_(setup.work + "/" + id) {}

absl::StatusOr<ShimInstance> ShimInstance::Prepare(
    const Setup& setup, const Subject& subject, const std::string& id,
    const std::vector<std::string>& command) {
  ShimInstance instance(setup, subject, id);
  HYDRA_RETURN_IF_ERROR(WriteBundle(setup, instance.bundle_,
                                    "/" + setup.containerd_namespace + "/" + id,
                                    command));
  const std::string log = instance.bundle_ + "/log";
  if (mkfifo(log.c_str(), 0700) != 0) return ErrnoError(errno, "mkfifo", log);
  instance.log_.Reset(open(log.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!instance.log_.valid()) return ErrnoError(errno, "open", log);
  return instance;
}

ShimInstance::~ShimInstance() {
  // Moved from.
  if (!log_.valid()) return;
  (void)End();  // the error that mattered has been returned before
  std::error_code ignored;
  std::filesystem::remove_all(bundle_, ignored);
}

std::vector<std::string> ShimInstance::Arguments(
    const std::string& action) const {
  std::vector<std::string> argv = {subject_->shim,
                                   "-namespace",
                                   setup_->containerd_namespace,
                                   "-address",
                                   setup_->address,
                                   "-publish-binary",
                                   "/usr/bin/containerd",
                                   "-id",
                                   id_};
  if (action == "delete") argv.insert(argv.end(), {"-bundle", bundle_});
  argv.push_back(action);
  return argv;
}

std::vector<std::string> ShimInstance::Environment() const {
  return {"TTRPC_ADDRESS=" + setup_->address + ".ttrpc", "GOMAXPROCS=2"};
}

absl::StatusOr<double> ShimInstance::Start() {
  CommandOptions options;
  options.directory = bundle_;
  options.environment = Environment();
  HYDRA_ASSIGN_OR_RETURN(CommandResult result,
                         RunCommand(Arguments("start"), options));
  HYDRA_ASSIGN_OR_RETURN(TtrpcClient client,
                         TtrpcClient::Connect(result.output));
  client_.emplace(std::move(client));
  return static_cast<double>(result.nanoseconds);
}

absl::Status ShimInstance::CreateTask(const std::string& stdout_path,
                                      const std::string& stderr_path) {
  task::CreateTaskRequest request;
  request.set_id(id_);
  request.set_bundle(bundle_);
  request.set_stdout(stdout_path);
  request.set_stderr(stderr_path);
  task::CreateTaskResponse response;
  HYDRA_RETURN_IF_ERROR(client_->Call("Create", request, &response));
  created_ = true;
  return absl::OkStatus();
}

absl::Status ShimInstance::StartTask() {
  task::StartRequest request;
  request.set_id(id_);
  task::StartResponse response;
  return client_->Call("Start", request, &response);
}

absl::Status ShimInstance::End() {
  if (!client_.has_value()) return absl::OkStatus();
  TtrpcClient client = *std::move(client_);
  client_.reset();
  Empty empty;
  if (created_) {
    task::KillRequest kill_request;
    kill_request.set_id(id_);
    kill_request.set_signal(SIGKILL);
    // NotFound if it has ended by itself.
    (void)client.Call("Kill", kill_request, &empty);
    task::WaitRequest wait_request;
    wait_request.set_id(id_);
    task::WaitResponse wait_response;
    HYDRA_RETURN_IF_ERROR(client.Call("Wait", wait_request, &wait_response));
    task::DeleteRequest delete_request;
    delete_request.set_id(id_);
    task::DeleteResponse delete_response;
    HYDRA_RETURN_IF_ERROR(
        client.Call("Delete", delete_request, &delete_response));
  }
  task::ShutdownRequest shutdown_request;
  shutdown_request.set_id(id_);
  // The Go shim ends so fast that its answer may get lost.
  (void)client.Call("Shutdown", shutdown_request, &empty);
  CommandOptions options;
  options.directory = bundle_;
  options.environment = Environment();
  const absl::StatusOr<CommandResult> result =
      RunCommand(Arguments("delete"), options);
  // containerd 1.6's shim refuses where no task was ever created.
  return created_ ? result.status() : absl::OkStatus();
}

}  // namespace hydra::bench
