#include "test/engines/docker/docker_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <exception>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "test/integration/harness/files.h"
#include "test/integration/harness/image.h"

namespace hydra::testing {

bool KnowsRuntimes(const Engine& engine) {
  return engine.major() > 1 || engine.minor() > 6;
}

DockerTest::DockerTest() {
  const Engine& engine = TestEngine();
  if (engine.Program("dockerd").find('/') == std::string::npos) {
    FAIL("there is no dockerd in " << engine.Path());
  }
  if (is_hydra() && !KnowsRuntimes(engine)) {
    place_ = std::make_unique<InTheReferencesPlace>();
  }
  containerd_ =
      std::make_unique<Containerd>(ContainerdOptions{.private_state = true});
  WriteDaemonConfiguration();
  const std::string log = directory() + "/dockerd.log";
  log_.Reset(
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  StartDaemon();
  ImportImage();
}

DockerTest::~DockerTest() {
  if (containerd_ == nullptr) return;
  if (std::uncaught_exceptions() > 0) {
    const std::string log =
        ReadFile(directory() + "/dockerd.log").value_or("(no log)");
    std::cerr << "--- dockerd's log\n"
              << log.substr(log.size() - std::min<size_t>(log.size(), 4000))
              << "--- containerd's log\n"
              << containerd_->LogTail() << '\n';
    return;
  }
  for (const std::string& id : Lines(Docker({"ps", "-aq"}).out)) {
    const Result removed = Docker({"rm", "-f", id});
    INFO("docker rm: " << removed.err);
    CHECK(removed.status == 0);
  }
  daemon_->Signal(SIGTERM);
  CHECK(daemon_->Wait().has_value());
  // dockerd's own mount, which one that was killed leaves.
  (void)umount2((directory() + "/docker").c_str(), MNT_DETACH);
  containerd_->CheckLeftovers();
}

void DockerTest::WriteDaemonConfiguration() const {
  const std::string options = directory() + "/options.toml";
  WriteFile(options, "Root = \"" + directory() + "/runc\"\n");
  nlohmann::json configuration = {{"live-restore", true}};
  if (KnowsRuntimes(TestEngine())) {
    configuration["runtimes"][kNamedRuntime] = {
        {"runtimeType", kHydraRuntime},
        {"options",
         {{"TypeUrl", "runtimeoptions.v1.Options"}, {"ConfigPath", options}}}};
  }
  WriteFile(directory() + "/daemon.json", configuration.dump());
}

void DockerTest::StartDaemon() {
  const std::string& ns = containerd_->ns();
  SessionOptions options;
  options.environment = {"PATH=" + BinaryDirectory() + ":" +
                         TestEngine().Path()};
  options.directory = directory();
  options.output_fd = log_.get();
  daemon_ =
      std::make_unique<Session>(Arguments{TestEngine().Program("dockerd"),
                                          "--config-file",
                                          directory() + "/daemon.json",
                                          "--host",
                                          "unix://" + directory() + "/d.sock",
                                          "--data-root",
                                          directory() + "/docker",
                                          "--exec-root",
                                          directory() + "/exec",
                                          "--pidfile",
                                          directory() + "/dockerd.pid",
                                          "--containerd",
                                          containerd_->socket(),
                                          "--containerd-namespace",
                                          ns,
                                          "--containerd-plugins-namespace",
                                          ns + "-plugins",
                                          "--cgroup-parent",
                                          "/" + containerd_->mark(),
                                          "--iptables=false",
                                          "--ip6tables=false",
                                          "--bridge=none",
                                          "--userland-proxy=false"},
                                options);
  const bool ready = Eventually([this] {
    return daemon_->Wait(Milliseconds(1)).has_value() ||
           Docker({"version"}).status == 0;
  });
  if (!ready || daemon_->Wait(Milliseconds(1)).has_value()) {
    FAIL("dockerd does not start:\n"
         << ReadFile(directory() + "/dockerd.log").value_or(""));
  }
}

void DockerTest::ImportImage() {
  const std::string root = directory() + "/rootfs";
  const std::string archive = directory() + "/rootfs.tar";
  WriteRootfs(root);
  const Result packed = Run({"tar", "-C", root, "-cf", archive, "."});
  if (packed.status != 0) FAIL("tar: " << packed.err);
  Must({"import", archive, kImageName});
  std::error_code error;
  std::filesystem::remove_all(root, error);
}

void DockerTest::KillEngines() {
  daemon_.reset();
  containerd_->Kill();
}

void DockerTest::StartEngines() {
  // What a service manager does; dockerd does not start beside its old file.
  std::error_code error;
  std::filesystem::remove(directory() + "/dockerd.pid", error);
  containerd_->Start();
  StartDaemon();
}

Arguments DockerTest::Command(const Arguments& arguments) const {
  return Join({TestEngine().Program("docker"), "--config", directory() + "/cli",
               "--host", "unix://" + directory() + "/d.sock"},
              arguments);
}

Result DockerTest::Docker(const Arguments& arguments,
                          const RunOptions& options) const {
  return Run(Command(arguments), options);
}

std::string DockerTest::Must(const Arguments& arguments) const {
  Result result = Docker(arguments);
  if (result.status != 0) {
    FAIL("docker " << arguments[0] << ": status " << result.status << ": "
                   << result.err);
  }
  if (!result.out.empty() && result.out.back() == '\n') result.out.pop_back();
  return result.out;
}

Arguments DockerTest::RunArguments(const Arguments& flags,
                                   const Arguments& command) const {
  const std::string runtime =
      place_ == nullptr ? TestRuntime() : kReferenceRuntime;
  return Join(Join({"run", "--network", "none", "--runtime", runtime}, flags),
              Join({kImageName}, command));
}

void DockerTest::StartDetached(const std::string& name,
                               const Arguments& command,
                               const Arguments& flags) const {
  Must(RunArguments(Join({"-d", "--name", name}, flags), command));
}

std::string DockerTest::Inspect(const std::string& name,
                                const std::string& field) const {
  return Must({"inspect", "--format", "{{" + field + "}}", name});
}

bool DockerTest::WaitFor(const std::string& name, const std::string& field,
                         const std::string& value) const {
  return Eventually([&] { return Inspect(name, field) == value; });
}

}  // namespace hydra::testing
