// What goes wrong around the shim: runtimes that are missing, crash, talk
// rubbish or hang, state that is damaged, a disk that is full. Each is a clear
// error of one request; nothing is lost and nothing stays.

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "containerd/runc/v1/options.pb.h"
#include "containerd/runtimeoptions/v1/options.pb.h"
#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

class TroubleTest : public IntegrationTest {
 public:
  // A shell script in the place of runc; "$@" is its arguments.
  std::string Script(const std::string& body) {
    const std::string path = containerd().directory() + "/runtime.sh";
    REQUIRE(WriteFile(path, "#!/bin/sh\n" + body + "\n"));
    REQUIRE(chmod(path.c_str(), 0755) == 0);
    return path;
  }

  pid_t Head(const std::string& id) {
    for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
      // The monitor has "-- -namespace" in its arguments.
      if (process.command.find("shim-hydra-v1 -namespace") !=
              std::string::npos &&
          process.command.find(" -id " + id + " ") != std::string::npos) {
        return process.pid;
      }
    }
    return 0;
  }
  void KillHead(const std::string& id) {
    const pid_t head = Head(id);
    REQUIRE(head != 0);
    REQUIRE(kill(head, SIGKILL) == 0);
    REQUIRE(Eventually([&] {
      const pid_t next = Head(id);
      return next != 0 && next != head;
    }));
  }

  task_api::CreateTaskRequest WithRuntime(const BareShim& shim,
                                          const std::string& binary) {
    containerd::runc::v1::Options options;
    options.set_binary_name(binary);
    auto request = shim.CreateRequest();
    request.mutable_options()->set_type_url("containerd.runc.v1.Options");
    options.SerializeToString(request.mutable_options()->mutable_value());
    return request;
  }

  // The container is not there, and its id can be used again.
  void CheckNothingCreated(BareShim* shim, TtrpcClient* client) {
    TaskClient task(client);
    CHECK(task.State(shim->id()).code == Code::kNotFound);
    const auto again = task.Call<task_api::CreateTaskResponse>(
        "Create", shim->CreateRequest());
    CAPTURE(again.message);
    CHECK(again.ok());
    EndTask(shim, client);
  }

  void EndTask(BareShim* shim, TtrpcClient* client) {
    TaskClient task(client);
    (void)task.Kill(shim->id(), SIGKILL);
    CHECK(task.Wait(shim->id()).ok());
    const auto deleted = task.Delete(shim->id());
    CAPTURE(deleted.message);
    CHECK(deleted.ok());
    (void)task.Shutdown(shim->id());
    CHECK(Eventually([&] { return !std::filesystem::exists(shim->socket()); }));
  }
};

TEST_CASE_METHOD(TroubleTest, "A runtime that does not exist is named",
                 "[trouble][bare][hydra]") {
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/true"});
  REQUIRE(shim.Start().status == 0);
  auto client = shim.Connect();
  TaskClient task(client.get());
  const auto created = task.Call<task_api::CreateTaskResponse>(
      "Create", WithRuntime(shim, "no-runc"));
  CHECK(created.code == Code::kUnknown);
  CHECK(created.message.find("OCI runtime create failed: ") == 0);
  CHECK(created.message.find(
            "exec: \"no-runc\": executable file not found in $PATH") !=
        std::string::npos);
  CheckNothingCreated(&shim, client.get());
}

TEST_CASE_METHOD(TroubleTest, "Options come as TOML too",
                 "[trouble][bare][hydra]") {
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/true"});
  REQUIRE(shim.Start().status == 0);
  auto client = shim.Connect();
  TaskClient task(client.get());
  runtimeoptions::v1::Options options;
  options.set_config_body(
      "BinaryName = \"runc-of-toml\"\nSystemdCgroup = false");
  auto request = shim.CreateRequest();
  request.mutable_options()->set_type_url("runtimeoptions.v1.Options");
  options.SerializeToString(request.mutable_options()->mutable_value());
  const auto created =
      task.Call<task_api::CreateTaskResponse>("Create", request);
  CHECK(created.message.find("exec: \"runc-of-toml\"") != std::string::npos);
  options.set_config_body("BinaryName = 7");
  options.SerializeToString(request.mutable_options()->mutable_value());
  const auto wrong = task.Call<task_api::CreateTaskResponse>("Create", request);
  CHECK(wrong.code == Code::kInvalidArgument);
  CHECK(wrong.message.find("BinaryName") != std::string::npos);
  CheckNothingCreated(&shim, client.get());
}

TEST_CASE_METHOD(TroubleTest, "A runtime that fails says how",
                 "[trouble][bare][hydra]") {
  const struct {
    const char* script;
    const char* message;
  } cases[] = {{"exit 3", "exit status 3"},
               {"kill -9 $$", "signal: killed"},
               // The log's rubbish is passed over; its last error counts.
               {"echo '{\"level\":\"error\",\"msg\":\"the reason\"}' >>\"$4\"\n"
                "echo 'rub{bish' >>\"$4\"; exit 1",
                "OCI runtime create failed: the reason"},
               // A success without a pid file is none.
               {"exit 0", "init.pid"}};
  int round = 0;
  for (const auto& [script, message] : cases) {
    CAPTURE(script);
    BareShim shim(&containerd(), runtime(), "bare" + std::to_string(round++),
                  {"/bin/true"});
    REQUIRE(shim.Start().status == 0);
    auto client = shim.Connect();
    TaskClient task(client.get());
    const auto created = task.Call<task_api::CreateTaskResponse>(
        "Create", WithRuntime(shim, Script(script)));
    CAPTURE(created.message);
    CHECK(created.code != Code::kOk);
    CHECK(created.code != Code::kNoAnswer);
    CHECK(created.message.find(message) != std::string::npos);
    CheckNothingCreated(&shim, client.get());
  }
}

TEST_CASE_METHOD(TroubleTest,
                 "A Create that hangs blocks nothing, and "
                 "goes on after the head's death",
                 "[trouble][bare][hydra]") {
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/sleep", "1000"});
  REQUIRE(shim.Start().status == 0);
  const std::string gate = containerd().directory() + "/gate";
  const std::string count = containerd().directory() + "/count";
  const std::string script = Script(
      "case \"$*\" in *' create '*) echo x >>" + count + "\nwhile [ ! -e " +
      gate + " ]; do sleep 0.05; done;; esac\nexec runc \"$@\"");
  auto client = shim.Connect();
  task_api::CreateTaskRequest request = WithRuntime(shim, script);
  const uint32_t create =
      client->Send(kTaskV2, "Create", request.SerializeAsString());
  REQUIRE(Eventually([&] { return ReadFile(count).has_value(); }));
  auto other = shim.Connect();
  TaskClient task(other.get());
  CHECK(task.Connect("bare").ok());
  CHECK(task.State("bare").code == Code::kNotFound);
  const auto second =
      task.Call<task_api::CreateTaskResponse>("Create", request);
  CHECK(second.code == Code::kAlreadyExists);
  for (int i = 0; i < 3; ++i) KillHead("bare");
  CHECK(task.Connect("bare").ok());
  REQUIRE(WriteFile(gate, ""));
  const auto created =
      Typed<task_api::CreateTaskResponse>(client->Await(create));
  CAPTURE(created.message);
  REQUIRE(created.ok());
  CHECK(created.value.pid() > 0);
  CHECK(task.State("bare").value.pid() == created.value.pid());
  // Four heads, one runtime.
  CHECK(*ReadFile(count) == "x\n");
  REQUIRE(task.Start("bare").ok());
  EndTask(&shim, other.get());
}

TEST_CASE_METHOD(TroubleTest, "A damaged state file is named, and delete helps",
                 "[trouble][bare][hydra]") {
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/sleep", "1000"});
  REQUIRE(shim.Start().status == 0);
  auto client = shim.Connect();
  TaskClient task(client.get());
  REQUIRE(
      task.Call<task_api::CreateTaskResponse>("Create", shim.CreateRequest())
          .ok());
  REQUIRE(task.Start("bare").ok());
  std::string directory = shim.socket();
  directory.resize(directory.size() - std::string(".sock").size());
  // The engine's answer to the last event makes the head save once more.
  Reply<task_api::StateResponse> state;
  for (int i = 0; i < 5 && (i == 0 || state.ok()); ++i) {
    REQUIRE(WriteFile(directory + "/state.pb", "HYDRAST1 and then nothing"));
    KillHead("bare");
    state = task.State("bare");
  }
  CHECK(state.code != Code::kOk);
  CHECK(state.message.find(directory + "/state.pb") != std::string::npos);
  client.reset();
  const Result deleted = shim.Delete();
  CAPTURE(deleted.err);
  CHECK(deleted.status == 0);
  CHECK_FALSE(std::filesystem::exists(directory));
}

TEST_CASE_METHOD(TroubleTest, "A full disk fails Create and nothing else",
                 "[trouble][bare][hydra]") {
  const std::string run = containerd().directory() + "/run";
  REQUIRE(mkdir(run.c_str(), 0700) == 0);
  REQUIRE(mount("tmpfs", run.c_str(), "tmpfs", 0, "size=64k") == 0);
  REQUIRE(setenv("HYDRA_RUN_DIR", run.c_str(), 1) == 0);
  {
    BareShim shim(&containerd(), runtime(), "bare", {"/bin/sleep", "1000"});
    REQUIRE(shim.Start().status == 0);
    const std::string filler = run + "/filler";
    REQUIRE_FALSE(WriteFile(filler, std::string(100'000, 'x')));
    auto client = shim.Connect();
    TaskClient task(client.get());
    const auto full =
        task.Call<task_api::CreateTaskResponse>("Create", shim.CreateRequest());
    CAPTURE(full.message);
    CHECK(full.code == Code::kResourceExhausted);
    CHECK(full.message.find("No space left on device") != std::string::npos);
    REQUIRE(unlink(filler.c_str()) == 0);
    REQUIRE(
        task.Call<task_api::CreateTaskResponse>("Create", shim.CreateRequest())
            .ok());
    REQUIRE(task.Start("bare").ok());
    // What runs goes on, and its exit is told.
    REQUIRE_FALSE(WriteFile(filler, std::string(100'000, 'x')));
    const uint32_t wait = SendWait(client.get(), "bare");
    CHECK(task.State("bare").ok());
    CHECK(task.Kill("bare", SIGKILL).code == Code::kOk);
    const auto waited = Typed<task_api::WaitResponse>(client->Await(wait));
    CHECK(waited.value.exit_status() == 137);
    REQUIRE(unlink(filler.c_str()) == 0);
    EndTask(&shim, client.get());
  }
  unsetenv("HYDRA_RUN_DIR");
  CHECK(Eventually([&] { return umount(run.c_str()) == 0; }));
}

}  // namespace
}  // namespace hydra::testing
