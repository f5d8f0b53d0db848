// How an engine and its shim come to terms: the answer of `start`, the options,
// what the runtime can do.

#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/differences.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/installation.h"
#include "test/integration/harness/leftovers.h"
#include "test/integration/harness/upgrade_fixture.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

TEST_CASE_METHOD(IntegrationTest, "The engine finds the shim again",
                 "[dialect][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const std::string bundle = containerd().bundle("c");
  if (TestEngine().major() < 2) {
    CHECK(ReadFile(bundle + "/address").value_or("").rfind("unix:///", 0) == 0);
  } else {
    const auto bootstrap = nlohmann::json::parse(
        ReadFile(bundle + "/bootstrap.json").value_or(""), nullptr, false);
    REQUIRE(bootstrap.is_object());
    CHECK(bootstrap.value("protocol", "") == "ttrpc");
    // With 2, containerd leaves it to the shim whether containers share one.
    CHECK(bootstrap.value("version", 0) == (is_hydra() ? 2 : 3));
  }
  CHECK(access(containerd().shim_socket("c").c_str(), F_OK) == 0);
  containerd().Kill();
  containerd().Start();
  CHECK(TaskStatus("c") == "RUNNING");
  CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
}

TEST_CASE_METHOD(IntegrationTest, "The engine learns what the runtime can do",
                 "[dialect][engines]") {
  if (TestEngine().major() < 2) HYDRA_SKIP(kNotAsked);
  const Result result =
      Ctr({"plugins", "inspect-runtime", "--runtime", runtime()});
  CAPTURE(result.out, result.err);
  REQUIRE(result.status == 0);
  const auto info = nlohmann::json::parse(result.out, nullptr, false);
  REQUIRE(info.is_object());
  CHECK(info.value("Name", "") == runtime());
  REQUIRE(info.contains("Features"));
  const auto runc =
      nlohmann::json::parse(Run({"runc", "features"}).out, nullptr, false);
  REQUIRE(runc.is_object());
  for (const char* key : {"ociVersionMin", "annotations", "mountOptions"}) {
    CAPTURE(key);
    CHECK_FALSE(runc[key].empty());
    CHECK(info["Features"][key] == runc[key]);
  }
  CHECK(info["Features"]["linux"]["namespaces"] == runc["linux"]["namespaces"]);
}

size_t CountProcesses(const std::string& mark, const std::string& program) {
  size_t count = 0;
  for (const ProcessInfo& process : ProcessesOf(mark)) {
    count += process.command.find(program) != std::string::npos;
  }
  return count;
}

// What a container is asked whose state runc is to keep at `root`.
void CheckRoot(IntegrationTest* test, const std::string& root,
               const Arguments& flags) {
  test->StartDetached("c", {"/bin/sleep", "1000"}, Join({"--null-io"}, flags));
  CHECK(fs::exists(root + "/" + test->containerd().ns() + "/c/state.json"));
  CHECK(test->Exec("c", "e", {"/bin/true"}).status == 0);
  CHECK(CountProcesses(test->containerd().mark(), "hydra-monitor ") == 1);
  CHECK(test->Remove("c").status == 0);
}

TEST_CASE("Hydra takes runc's options in the place of containerd's own shim",
          "[dialect][hydra][engines]") {
  const InTheReferencesPlace place;
  IntegrationTest test(kReferenceRuntime);
  const std::string root = test.containerd().directory() + "/runc";
  CheckRoot(&test, root, {"--runc-root", root});
}

TEST_CASE_METHOD(IntegrationTest, "Options come in a file",
                 "[dialect][hydra][engines]") {
  const std::string root = containerd().directory() + "/runc";
  const std::string file = containerd().directory() + "/options.toml";
  REQUIRE(WriteFile(file, "Root = \"" + root + "\"\n"));
  CheckRoot(this, root, {"--runtime-config-path", file});
}

TEST_CASE_METHOD(UpgradeTest, "gRPC is spoken where the engine can",
                 "[dialect][hydra][engines]") {
  if (TestEngine().major() != 1 || TestEngine().minor() < 7) {
    HYDRA_SKIP(
        "containerd 1.6 speaks only ttrpc to shims, and 2 takes a shim that "
        "speaks gRPC for dead");
  }
  const std::string file = containerd().directory() + "/options.toml";
  REQUIRE(WriteFile(file, "protocol = \"grpc\"\n"));
  StartDetached("c", {"/bin/sleep", "1000"},
                {"--null-io", "--runtime-config-path", file});
  const pid_t pid = TaskPid("c");
  CHECK(Exec("c", "e", {"/bin/sh", "-c", "exit 3"}).status == 3);
  CHECK(CountProcesses(containerd().mark(), "hydra-grpc") == 1);
  containerd().Kill();
  containerd().Start();
  NewEvents();
  CHECK(TaskPid("c") == pid);
  CHECK(Exec("c", "e", {"/bin/sh", "-c", "exit 4"}).status == 4);
  // This engine takes the end of its connection for the shim's.
  CHECK(Upgrade()["c"]["result"] == "upgraded");
  CHECK(TaskPid("c") == pid);
  CHECK(Exec("c", "e", {"/bin/sh", "-c", "exit 5"}).status == 5);
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  CHECK(events().WaitFor("/tasks/exit", "c").has_value());
  REQUIRE(WaitForStatus("c", "STOPPED"));
  CHECK(DeleteTask("c") == 137);
}

// A field of a protobuf message with wire type 2, and one with wire type 0, by
// hand: these are the bytes that are meant, whatever our classes do.
std::string Field(int number, const std::string& value) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         static_cast<char>(value.size()) + value;
}
std::string Field(int number, char value) {
  return std::string(1, static_cast<char>(number << 3)) + value;
}

TEST_CASE_METHOD(IntegrationTest, "containerd 2.3's bootstrap is understood",
                 "[dialect][bare][hydra][engines]") {
  events();
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/sleep", "1000"});
  const std::string root = containerd().directory() + "/runc";
  // containerd.runc.v1.Options: root. It comes as an extension.
  const std::string options =
      Field(1, "containerd.runc.v1.Options") + Field(2, Field(7, root));
  const std::string parameters =
      Field(1, "bare") + Field(2, containerd().ns()) + Field(4, "2.3.0") +
      Field(5, containerd().ttrpc_socket()) + Field(6, containerd().socket()) +
      Field(7, "/usr/bin/containerd") + Field(8, Field(1, options)) +
      Field(9, "/run/containerd/s");
  const Result started = shim.Start(parameters);
  CAPTURE(started.err);
  REQUIRE(started.status == 0);
  const std::string head = Field(1, '\2') + '\x12';  // version; address: 2
  REQUIRE(started.out.rfind(head, 0) == 0);
  const size_t length = static_cast<size_t>(started.out[head.size()]);
  const std::string address = started.out.substr(head.size() + 1, length);
  CHECK(started.out.substr(head.size() + 1 + length) == Field(3, "ttrpc"));
  REQUIRE(address.rfind("unix:///", 0) == 0);

  TtrpcClient client(address.substr(strlen("unix://")), containerd().ns());
  REQUIRE(client.connected());
  TaskClient task(&client, kTaskV2);
  auto request = shim.CreateRequest();
  request.mutable_options()->set_type_url("containerd.runc.v1.Options");
  request.mutable_options()->set_value(Field(7, root));
  REQUIRE(task.Call<task_api::CreateTaskResponse>("Create", request).ok());
  REQUIRE(task.Start("bare").ok());
  CHECK(events().WaitFor("/tasks/start", "bare").has_value());
  CHECK(fs::exists(root + "/" + containerd().ns() + "/bare/state.json"));
  CHECK(task.Kill("bare", SIGKILL).code == Code::kOk);
  CHECK(task.Wait("bare").value.exit_status() == 137);
  CHECK(task.Delete("bare").ok());
  CHECK(events().WaitFor("/tasks/delete", "bare").has_value());
  (void)task.Shutdown("bare");  // The shim may exit before it answers.
}

}  // namespace
}  // namespace hydra::testing
