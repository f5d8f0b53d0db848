// A shim without an engine's help: the launch contract, and byte-exact I/O
// that no client library stands in the way of.

#include "test/integration/harness/bare_shim.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "containerd/task/v2/task.pb.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

// Kills nothing: the task has ended. Deletes it and sees the shim off.
void DeleteAndShutDown(BareShim* shim, TtrpcClient* client, uint32_t status) {
  TaskClient task(client);
  const auto deleted = task.Delete(shim->id());
  CAPTURE(deleted.message);
  REQUIRE(deleted.ok());
  CHECK(deleted.value.exit_status() == status);
  (void)task.Shutdown(shim->id());  // The shim may exit before it answers.
  CHECK(Eventually([&] { return !std::filesystem::exists(shim->socket()); }));
}

TEST_CASE_METHOD(IntegrationTest, "A bare shim runs a task from end to end",
                 "[bare][engines]") {
  events();
  BareShim shim(&containerd(), runtime(), "bare",
                {"/bin/sh", "-c", "cat; echo err >&2; exit 21"});
  const Result started = shim.Start();
  CAPTURE(started.out, started.err);
  REQUIRE(started.status == 0);
  CHECK(started.err.empty());
  REQUIRE(!shim.socket().empty());
  // containerd 2 keeps the address itself, and its own shim leaves it to that.
  if (is_hydra() || TestEngine().major() < 2) {
    CHECK(ReadFile(shim.bundle() + "/address") == started.out);
  }

  FifoReader out(shim.stream("out"));
  FifoReader err(shim.stream("err"));
  const auto request = shim.CreateRequest(true);
  UniqueFd input(open(shim.stream("in").c_str(), O_RDWR | O_CLOEXEC));
  auto client = shim.Connect();
  TaskClient task(client.get());
  const auto created =
      task.Call<task_api::CreateTaskResponse>("Create", request);
  CAPTURE(created.message);
  REQUIRE(created.ok());
  CHECK(created.value.pid() > 0);
  const auto state = task.State("bare");
  CHECK(state.value.status() == containerd::v1::types::CREATED);
  CHECK(state.value.pid() == created.value.pid());
  CHECK(state.value.bundle() == shim.bundle());

  const uint32_t wait = SendWait(client.get(), "bare");
  const auto start = task.Start("bare");
  REQUIRE(start.ok());
  CHECK(start.value.pid() == created.value.pid());
  REQUIRE(write(input.get(), "hello\n", 6) == 6);
  input.Reset();
  task_api::CloseIORequest close_io;
  close_io.set_id("bare");
  close_io.set_stdin(true);
  CHECK(task.Do("CloseIO", close_io).code == Code::kOk);

  const auto waited = Typed<task_api::WaitResponse>(client->Await(wait));
  REQUIRE(waited.ok());
  CHECK(waited.value.exit_status() == 21);
  CHECK(out.ReadToEnd());
  CHECK(err.ReadToEnd());
  CHECK(out.data() == "hello\n");
  CHECK(err.data() == "err\n");
  const auto stopped = task.State("bare");
  CHECK(stopped.value.status() == containerd::v1::types::STOPPED);
  CHECK(stopped.value.exit_status() == 21);
  CHECK(stopped.value.pid() == created.value.pid());
  DeleteAndShutDown(&shim, client.get(), 21);
  CHECK(events().WaitFor("/tasks/delete", "bare").has_value());
  CHECK(events().Summary("bare") == "create start exit=21 delete=21");
}

TEST_CASE_METHOD(IntegrationTest, "The last output before an exit is not lost",
                 "[bare][output]") {
  constexpr size_t kSize = 1'000'003;
  for (int round = 0; round < 5; ++round) {
    const std::string id = "bare" + std::to_string(round);
    CAPTURE(id);
    BareShim shim(&containerd(), runtime(), id,
                  {"/payload/numbered-lines", std::to_string(kSize)});
    REQUIRE(shim.Start().status == 0);
    FifoReader out(shim.stream("out"));
    FifoReader err(shim.stream("err"));
    auto client = shim.Connect();
    TaskClient task(client.get());
    REQUIRE(task.Call<task_api::CreateTaskResponse>("Create",
                                                    shim.CreateRequest(true))
                .ok());
    REQUIRE(task.Start(id).ok());
    REQUIRE(out.ReadToEnd());
    CHECK(out.data().size() == kSize);
    CHECK(out.data().substr(kSize - 19) == "000000000062499\n000");
    REQUIRE(task.Wait(id).ok());
    DeleteAndShutDown(&shim, client.get(), 0);
  }
}

TEST_CASE_METHOD(IntegrationTest, "A terminal's last output is not lost",
                 "[bare][terminal][output]") {
  for (int round = 0; round < 5; ++round) {
    const std::string id = "bare" + std::to_string(round);
    CAPTURE(id);
    BareShim shim(&containerd(), runtime(), id,
                  {"/bin/sh", "-c", "seq 1 500; echo last"});
    shim.spec()["process"]["terminal"] = true;
    shim.WriteSpec();
    REQUIRE(shim.Start().status == 0);
    FifoReader out(shim.stream("out"));
    auto request = shim.CreateRequest(true);
    request.set_terminal(true);
    request.clear_stderr();
    auto client = shim.Connect();
    TaskClient task(client.get());
    const auto created =
        task.Call<task_api::CreateTaskResponse>("Create", request);
    CAPTURE(created.message);
    REQUIRE(created.ok());
    REQUIRE(task.Start(id).ok());
    REQUIRE(out.ReadToEnd());
    CHECK(out.data().find("500\r\nlast\r\n") != std::string::npos);
    REQUIRE(task.Wait(id).ok());
    DeleteAndShutDown(&shim, client.get(), 0);
  }
}

TEST_CASE_METHOD(IntegrationTest, "A second start gives the same address",
                 "[bare][start][engines]") {
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/true"});
  REQUIRE(shim.Start().status == 0);
  const std::string first = shim.socket();
  const Result again = shim.Start();
  CAPTURE(again.out, again.err);
  CHECK(again.status == 0);
  CHECK(shim.socket() == first);
  auto client = shim.Connect();
  TaskClient task(client.get());
  CHECK(task.Connect("bare").ok());
  CHECK(task.State("bare").code == Code::kNotFound);
  (void)task.Shutdown("bare");  // The shim may exit before it answers.
}

TEST_CASE_METHOD(IntegrationTest, "delete cleans up after a killed shim, twice",
                 "[bare][delete][engines]") {
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/sleep", "1000"});
  REQUIRE(shim.Start().status == 0);
  auto client = shim.Connect();
  TaskClient task(client.get());
  const auto created =
      task.Call<task_api::CreateTaskResponse>("Create", shim.CreateRequest());
  REQUIRE(created.ok());
  REQUIRE(task.Start("bare").ok());
  if (!is_hydra()) {
    // Hydra's server comes back: there its monitor has to go, see head_test.
    const auto connected = task.Connect("bare");
    REQUIRE(connected.ok());
    REQUIRE(kill(static_cast<pid_t>(connected.value.shim_pid()), SIGKILL) == 0);
  }
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    const Result deleted = shim.Delete();
    CAPTURE(deleted.err);
    REQUIRE(deleted.status == 0);
    task_api::DeleteResponse response;
    REQUIRE(response.ParseFromString(deleted.out));
    CHECK(response.exit_status() == 137);
    CHECK(response.has_exited_at());
  }
  CHECK(Eventually(
      [&] { return kill(static_cast<pid_t>(created.value.pid()), 0) != 0; }));
}

TEST_CASE_METHOD(IntegrationTest, "delete without any task succeeds",
                 "[bare][delete][hydra]") {
  BareShim shim(&containerd(), runtime(), "bare", {"/bin/true"});
  const Result deleted = shim.Delete();
  CAPTURE(deleted.err);
  CHECK(deleted.status == 0);
  task_api::DeleteResponse response;
  CHECK(response.ParseFromString(deleted.out));
}

}  // namespace
}  // namespace hydra::testing
