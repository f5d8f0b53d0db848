#include "test/engines/cri/cri_test.h"

#include <catch2/catch.hpp>
#include <exception>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "test/integration/harness/files.h"
#include "test/integration/harness/image.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

using Stub = cri::RuntimeService::Stub;

// A bridge and addresses of a private range, inside of the engine's own network
// namespace.
constexpr char kNetwork[] = R"({
  "cniVersion": "0.4.0", "name": "test",
  "plugins": [{"type": "bridge", "bridge": "hydra0",
    "ipam": {"type": "host-local", "subnet": "10.88.0.0/24",
             "dataDir": "DIRECTORY/cni-data"}}]})";

std::string Replaced(std::string text, const std::string& what,
                     const std::string& with) {
  for (size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

}  // namespace

CriTest::CriTest(bool own_network, const Engine& engine)
    : own_network_(own_network) {
  containerd_ = std::make_unique<Containerd>(ContainerdOptions{
      .ns = "k8s.io",
      .engine = engine,
      .cri = [this](const Containerd& it) { return Configuration(it); },
      .private_state = true,
      .private_network = own_network});
  const std::string archive = containerd_->directory() + "/image.tar";
  WriteImage(archive, true);
  const Result imported =
      Run(containerd_->CtrCommand({"images", "import", archive}));
  if (imported.status != 0) FAIL("ctr images import: " << imported.err);
  Connect();
  for (const char* image : {kImage, kPauseImage}) WaitForImage(image);
}

CriTest::~CriTest() {
  if (containerd_ == nullptr) return;
  if (std::uncaught_exceptions() > 0) {
    std::cerr << "--- containerd's log\n" << containerd_->LogTail() << '\n';
    return;
  }
  RemoveAll();
  containerd_->CheckLeftovers();
}

// The same settings under the names of the major version.
std::string CriTest::Configuration(const Containerd& containerd) const {
  const std::string& directory = containerd.directory();
  const bool old = containerd.engine().major() < 2;
  const std::string runtime =
      old ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
  WriteFile(directory + "/options.toml", "Root = \"" + directory + "/runc\"\n");
  fs::create_directories(directory + "/cni");
  if (own_network_) {
    WriteFile(directory + "/cni/10-test.conflist",
              Replaced(kNetwork, "DIRECTORY", directory));
  }
  std::string text =
      old ? "[plugins.\"RUNTIME\"]\nsandbox_image = \"PAUSE\"\n"
          : "[plugins.\"io.containerd.cri.v1.images\".pinned_images]\n"
            "sandbox = \"PAUSE\"\n[plugins.\"RUNTIME\"]\n";
  // A score below the engine's own may not be set without CAP_SYS_RESOURCE.
  text +=
      "restrict_oom_score_adj = true\n"
      "netns_mounts_under_state_dir = true\n"
      "[plugins.\"RUNTIME\".cni]\n"
      "conf_dir = \"DIRECTORY/cni\"\n";
  text += old ? "bin_dir = \"CNI\"\n" : "bin_dirs = [\"CNI\"]\n";
  text +=
      "[plugins.\"RUNTIME\".containerd.runtimes.runc]\n"
      "runtime_type = \"io.containerd.runc.v2\"\n"
      "[plugins.\"RUNTIME\".containerd.runtimes.runc.options]\n"
      "Root = \"DIRECTORY/runc\"\n"
      "[plugins.\"RUNTIME\".containerd.runtimes.hydra]\n"
      "runtime_type = \"io.containerd.hydra.v1\"\n"
      "[plugins.\"RUNTIME\".containerd.runtimes.hydra.options]\n"
      "ConfigPath = \"DIRECTORY/options.toml\"\n"
      "[plugins.\"RUNTIME\".containerd.runtimes.hydra-as-runc]\n"
      "runtime_type = \"io.containerd.runc.v2\"\n"
      "runtime_path = \"SHIM\"\n"
      "[plugins.\"RUNTIME\".containerd.runtimes.hydra-as-runc.options]\n"
      "Root = \"DIRECTORY/runc\"\n";
  text = Replaced(text, "RUNTIME", runtime);
  text = Replaced(text, "DIRECTORY", directory);
  text = Replaced(text, "PAUSE", kPauseImage);
  text = Replaced(text, "SHIM", FindShim(kHydraRuntime, containerd.engine()));
  return Replaced(text, "CNI", containerd.engine().CniDirectory());
}

void CriTest::Connect() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 100);
  channel_ =
      grpc::CreateCustomChannel("unix:" + containerd_->socket(),
                                grpc::InsecureChannelCredentials(), arguments);
  stub_ = cri::RuntimeService::NewStub(channel_);
  // containerd answers before its CRI does.
  std::string last;
  const bool ready = Eventually([&] {
    cri::StatusResponse response;
    const grpc::Status status =
        Try(&Stub::Status, cri::StatusRequest(), &response);
    last = status.error_message();
    if (!status.ok()) return false;
    for (const auto& condition : response.status().conditions()) {
      if (condition.type() == "RuntimeReady") return condition.status();
    }
    return false;
  });
  if (!ready) FAIL("CRI does not answer: " << last);
}

void CriTest::WaitForImage(const std::string& name) {
  const auto images = cri::ImageService::NewStub(channel_);
  const bool known = Eventually([&] {
    grpc::ClientContext context;
    cri::ImageStatusRequest request;
    cri::ImageStatusResponse response;
    request.mutable_image()->set_image(name);
    return images->ImageStatus(&context, request, &response).ok() &&
           response.has_image();
  });
  if (!known) FAIL("CRI does not know the image " << name);
}

void CriTest::StartEngine() {
  containerd_->Start();
  Connect();
}

void CriTest::StartEngine(const Engine& engine) {
  containerd_->Start(engine);
  Connect();
}

void CriTest::CrashEngine() {
  containerd_->Kill();
  StartEngine();
}

void CriTest::Refused(const std::string& request,
                      const grpc::Status& status) const {
  FAIL(request << ": " << status.error_code() << ": "
               << status.error_message());
  abort();  // FAIL throws.
}

cri::PodSandboxConfig CriTest::PodConfig() const {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name("pod");
  config.mutable_metadata()->set_uid("uid");
  config.mutable_metadata()->set_namespace_("default");
  config.set_log_directory(containerd_->directory() + "/logs");
  config.mutable_linux()->set_cgroup_parent("/" + containerd_->mark());
  if (!own_network_) {
    config.mutable_linux()
        ->mutable_security_context()
        ->mutable_namespace_options()
        ->set_network(cri::NODE);
  }
  return config;
}

std::string CriTest::RunPod() { return RunPod(Handler()); }

std::string CriTest::RunPod(const std::string& handler) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = PodConfig();
  request.set_runtime_handler(handler);
  return Must(&Stub::RunPodSandbox, request).pod_sandbox_id();
}

std::string CriTest::CreateContainer(const std::string& pod,
                                     const PodContainer& wanted) {
  cri::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod);
  *request.mutable_sandbox_config() = PodConfig();
  cri::ContainerConfig* config = request.mutable_config();
  config->mutable_metadata()->set_name(wanted.name);
  config->mutable_image()->set_image(kImage);
  for (const std::string& word : wanted.command) config->add_command(word);
  config->set_log_path(wanted.name + ".log");
  config->set_stdin(wanted.stdin);
  config->set_tty(wanted.terminal);
  config->mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(
      wanted.memory_limit);
  auto* namespaces = config->mutable_linux()
                         ->mutable_security_context()
                         ->mutable_namespace_options();
  namespaces->set_pid(cri::CONTAINER);
  if (!own_network_) namespaces->set_network(cri::NODE);
  if (!wanted.share.empty()) {
    cri::Mount* mount = config->add_mounts();
    mount->set_host_path(wanted.share);
    mount->set_container_path("/share");
  }
  return Must(&Stub::CreateContainer, request).container_id();
}

std::string CriTest::RunContainer(const std::string& pod,
                                  const PodContainer& wanted) {
  const std::string id = CreateContainer(pod, wanted);
  cri::StartContainerRequest request;
  request.set_container_id(id);
  Must(&Stub::StartContainer, request);
  return id;
}

cri::ContainerStatus CriTest::ContainerStatus(const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  return Must(&Stub::ContainerStatus, request).status();
}

bool CriTest::WaitForState(const std::string& id, cri::ContainerState state) {
  return Eventually([&] { return ContainerStatus(id).state() == state; });
}

pid_t CriTest::ContainerPid(const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  const auto response = Must(&Stub::ContainerStatus, request);
  const auto found = response.info().find("info");
  if (found == response.info().end()) return 0;
  return nlohmann::json::parse(found->second).value("pid", 0);
}

cri::ExecSyncResponse CriTest::ExecSync(const std::string& id,
                                        const Arguments& command) {
  cri::ExecSyncRequest request;
  request.set_container_id(id);
  for (const std::string& word : command) request.add_cmd(word);
  return Must(&Stub::ExecSync, request);
}

void CriTest::StopContainer(const std::string& id, int64_t timeout) {
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(timeout);
  Must(&Stub::StopContainer, request);
}

void CriTest::RemoveContainer(const std::string& id) {
  cri::RemoveContainerRequest request;
  request.set_container_id(id);
  Must(&Stub::RemoveContainer, request);
}

void CriTest::StopPod(const std::string& pod) {
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod);
  Must(&Stub::StopPodSandbox, request);
}

void CriTest::RemoveAll() {
  cri::ListPodSandboxResponse pods;
  const grpc::Status listed =
      Try(&Stub::ListPodSandbox, cri::ListPodSandboxRequest(), &pods);
  CHECK(listed.ok());
  for (const cri::PodSandbox& pod : pods.items()) {
    cri::StopPodSandboxRequest stop;
    cri::StopPodSandboxResponse stopped;
    stop.set_pod_sandbox_id(pod.id());
    grpc::Status status = Try(&Stub::StopPodSandbox, stop, &stopped);
    INFO("stop the pod: " << status.error_message());
    CHECK(status.ok());
    cri::RemovePodSandboxRequest remove;
    cri::RemovePodSandboxResponse removed;
    remove.set_pod_sandbox_id(pod.id());
    status = Try(&Stub::RemovePodSandbox, remove, &removed);
    INFO("remove the pod: " << status.error_message());
    CHECK(status.ok());
  }
}

std::string CriTest::Log(const std::string& name) const {
  return ReadFile(containerd_->directory() + "/logs/" + name + ".log")
      .value_or("");
}

}  // namespace hydra::testing
