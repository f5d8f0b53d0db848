// What a kubelet does to pods: their lives, and what it asks about them.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "test/engines/cri/cri_test.h"
#include "test/integration/harness/differences.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

using Stub = cri::RuntimeService::Stub;

constexpr int64_t kMebibyte = 1 << 20;

size_t CountProcesses(const std::string& mark, const std::string& name) {
  size_t count = 0;
  for (const ProcessInfo& process : ProcessesOf(mark)) {
    count += process.command.rfind(name, 0) == 0;
  }
  return count;
}

TEST_CASE_METHOD(CriTest, "A pod runs two containers, and each has its exit",
                 "[cri]") {
  const std::string pod = RunPod();
  const std::string a = RunContainer(pod, {.name = "a"});
  const std::string b =
      RunContainer(pod, {.name = "b", .command = {"/bin/sh", "-c", "exit 7"}});
  CHECK(ContainerStatus(a).state() == cri::CONTAINER_RUNNING);
  REQUIRE(WaitForState(b, cri::CONTAINER_EXITED));
  CHECK(ContainerStatus(b).exit_code() == 7);
  const auto list = Must(&Stub::ListContainers, cri::ListContainersRequest());
  CHECK(list.containers_size() == 2);
  for (const cri::Container& container : list.containers()) {
    CHECK(container.pod_sandbox_id() == pod);
  }
  if (is_hydra()) {
    // The pod's own, a's, and b's, which is there until b is removed.
    const size_t monitors =
        CountProcesses(containerd().mark(), "hydra-monitor");
    CHECK((monitors == 2 || monitors == 3));
  }
  StopContainer(a, 0);
  CHECK(ContainerStatus(a).exit_code() == 137);
  RemoveContainer(b);
  RemoveContainer(a);
  CHECK(Must(&Stub::ListContainers, cri::ListContainersRequest())
            .containers_size() == 0);
}

TEST_CASE_METHOD(CriTest, "A container that is stopped gets its time",
                 "[cri]") {
  const std::string pod = RunPod();
  const std::string polite = RunContainer(
      pod, {.name = "polite",
            .command = {"/bin/sh", "-c",
                        "trap 'exit 3' TERM; echo ready; while :; do sleep "
                        "0.05; done"}});
  const std::string deaf = RunContainer(
      pod, {.name = "deaf", .command = {"/payload/ignore-sigterm"}});
  REQUIRE(Eventually([&] {
    return Log("polite").find("ready") != std::string::npos &&
           Log("deaf").find("ignoring") != std::string::npos;
  }));
  StopContainer(polite, 30);
  CHECK(ContainerStatus(polite).exit_code() == 3);
  StopContainer(deaf, 1);
  CHECK(ContainerStatus(deaf).exit_code() == 137);
}

TEST_CASE_METHOD(CriTest, "Stopping a pod ends its containers", "[cri]") {
  const std::string pod = RunPod();
  const std::string id = RunContainer(pod, {});
  const pid_t pid = ContainerPid(id);
  REQUIRE(pid > 0);
  StopPod(pod);
  CHECK(kill(pid, 0) != 0);
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  CHECK(Must(&Stub::PodSandboxStatus, request).status().state() ==
        cri::SANDBOX_NOTREADY);
  CHECK(ContainerStatus(id).state() == cri::CONTAINER_EXITED);
}

TEST_CASE_METHOD(CriTest, "A container that does not start is removed",
                 "[cri]") {
  const std::string pod = RunPod();
  const std::string id = CreateContainer(pod, {.command = {"/no/such"}});
  cri::StartContainerRequest start;
  start.set_container_id(id);
  cri::StartContainerResponse started;
  const grpc::Status status = Try(&Stub::StartContainer, start, &started);
  CHECK_FALSE(status.ok());
  CHECK(status.error_message().find("no such file or directory") !=
        std::string::npos);
  CHECK(ContainerStatus(id).state() == cri::CONTAINER_EXITED);
  RemoveContainer(id);
  CHECK(RunContainer(pod, {}) != id);
}

TEST_CASE_METHOD(CriTest, "A container over its memory is OOMKilled", "[cri]") {
  const std::string pod = RunPod();
  const std::string id =
      RunContainer(pod, {.command = {"/payload/eat-memory", "256"},
                         .memory_limit = 32 * kMebibyte});
  REQUIRE(WaitForState(id, cri::CONTAINER_EXITED));
  CHECK(ContainerStatus(id).exit_code() == 137);
  CHECK(
      Eventually([&] { return ContainerStatus(id).reason() == "OOMKilled"; }));
}

TEST_CASE_METHOD(CriTest, "Containers and pods have figures", "[cri]") {
  const std::string pod = RunPod();
  const std::string id =
      RunContainer(pod, {.command = {"/bin/sh", "-c", "while :; do :; done"}});
  cri::ContainerStatsRequest request;
  request.set_container_id(id);
  uint64_t cpu = 0;
  CHECK(Eventually([&] {
    const auto response = Must(&Stub::ContainerStats, request);
    cpu = response.stats().cpu().usage_core_nano_seconds().value();
    return cpu > 50'000'000 &&
           response.stats().memory().working_set_bytes().value() > 0;
  }));
  cri::PodSandboxStatsRequest pod_request;
  pod_request.set_pod_sandbox_id(pod);
  const auto figures =
      Must(&Stub::PodSandboxStats, pod_request).stats().linux();
  CHECK(figures.cpu().usage_core_nano_seconds().value() > 50'000'000);
  CHECK(figures.process().process_count().value() > 0);
  REQUIRE(figures.containers_size() == 1);
  CHECK(figures.containers(0).cpu().usage_core_nano_seconds().value() >= cpu);
}

TEST_CASE_METHOD(CriTest, "A container's resources are updated", "[cri]") {
  const std::string pod = RunPod();
  const std::string id = RunContainer(pod, {.memory_limit = 64 * kMebibyte});
  const std::string limit = "/sys/fs/cgroup/memory/" + containerd().mark() +
                            "/" + id + "/memory.limit_in_bytes";
  if (!std::filesystem::exists("/sys/fs/cgroup/memory")) {
    HYDRA_SKIP("the limit is looked up in cgroups v1");
  }
  CHECK(ReadFile(limit) == std::to_string(64 * kMebibyte) + "\n");
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_memory_limit_in_bytes(48 * kMebibyte);
  Must(&Stub::UpdateContainerResources, request);
  CHECK(ReadFile(limit) == std::to_string(48 * kMebibyte) + "\n");
}

TEST_CASE_METHOD(CriTest, "Hydra runs by its path under runc's type",
                 "[cri][hydra]") {
  if (TestEngine().major() == 1 && TestEngine().minor() < 7) {
    HYDRA_SKIP("containerd 1.6's CRI knows no runtime_path");
  }
  const std::string id = RunContainer(RunPod(kHydraAsRunc), {});
  CHECK(CountProcesses(containerd().mark(), "hydra-monitor") == 2);
  // Where runc's options say.
  CHECK(std::filesystem::exists(containerd().directory() + "/runc/k8s.io/" +
                                id + "/state.json"));
  CrashEngine();
  CHECK(ExecSync(id, {"/bin/sh", "-c", "exit 4"}).exit_code() == 4);
}

TEST_CASE_METHOD(CriTest, "CRI learns what the runtime can do", "[cri]") {
  if (TestEngine().major() < 2) HYDRA_SKIP(kNotAsked);
  const auto status = Must(&Stub::Status, cri::StatusRequest());
  const cri::RuntimeHandler* ours = nullptr;
  const cri::RuntimeHandler* reference = nullptr;
  // CRI asks only where the type is runc's own.
  const std::string name = is_hydra() ? kHydraAsRunc : "runc";
  for (const cri::RuntimeHandler& handler : status.runtime_handlers()) {
    if (handler.name() == name) ours = &handler;
    if (handler.name() == "runc") reference = &handler;
  }
  REQUIRE(ours != nullptr);
  REQUIRE(reference != nullptr);
  CHECK(reference->features().recursive_read_only_mounts());
  CHECK(ours->features().recursive_read_only_mounts());
  CHECK(ours->features().user_namespaces() ==
        reference->features().user_namespaces());
}

class NetworkTest : public CriTest {
 public:
  NetworkTest() : CriTest(true) {}
};

TEST_CASE_METHOD(NetworkTest, "A pod is in a network that CNI has made",
                 "[cri]") {
  const std::string pod = RunPod();
  const std::string id = RunContainer(
      pod, {.command = {"/bin/sh", "-c",
                        "cat /proc/net/fib_trie; exec sleep 1000"}});
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  const std::string ip =
      Must(&Stub::PodSandboxStatus, request).status().network().ip();
  CHECK(ip.rfind("10.88.0.", 0) == 0);
  CHECK(Eventually([&] { return Log("c").find(ip) != std::string::npos; }));
}

}  // namespace
}  // namespace hydra::testing
