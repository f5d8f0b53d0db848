// The task API over gRPC, on the socket where containerd speaks ttrpc.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <set>
#include <thread>

#include "hydra/testing/grpc_services.pb.h"
#include "hydra/v1/instance.pb.h"
#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/grpc_client.h"
#include "test/integration/harness/installation.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

template <typename Response, typename Request>
Response MustCall(Transport* transport, const std::string& service,
                  const std::string& method, const Request& request) {
  const auto reply = Typed<Response>(
      transport->Call(service, method, request.SerializeAsString()));
  CAPTURE(service, method, reply.message);
  REQUIRE(reply.ok());
  return reply.value;
}

// Every method that leaves the task there.
void DriveRunningTask(TaskClient task, const std::string& id, pid_t pid) {
  const auto connect = task.Connect(id);
  CAPTURE(connect.message);
  REQUIRE(connect.ok());
  CHECK(connect.value.task_pid() == static_cast<uint32_t>(pid));
  CHECK(task.State(id).value.status() == containerd::v1::types::RUNNING);
  CHECK(task.Pids(id).value.processes_size() >= 1);
  task_api::StatsRequest stats;
  stats.set_id(id);
  CHECK(task.Do("Stats", stats).code == Code::kOk);
  CHECK(task.Do("Pause", TaskClient::For<task_api::StateRequest>(id)).code ==
        Code::kOk);
  CHECK(task.State(id).value.status() == containerd::v1::types::PAUSED);
  CHECK(task.Do("Resume", TaskClient::For<task_api::StateRequest>(id)).code ==
        Code::kOk);
  task_api::UpdateTaskRequest update;
  update.set_id(id);
  update.mutable_resources()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources");
  update.mutable_resources()->set_value(R"({"memory": {"limit": 134217728}})");
  CHECK(task.Do("Update", update).code == Code::kOk);
  // The task is there already, and stays as it is.
  task_api::CreateTaskRequest create;
  create.set_id(id);
  create.set_bundle("/nonexistent");
  CHECK(task.Do("Create", create).code == Code::kAlreadyExists);
  // CRIU refuses this image directory: the call arrives, and fails cleanly.
  task_api::CheckpointTaskRequest checkpoint;
  checkpoint.set_id(id);
  checkpoint.set_path("/proc/nonexistent");
  const RawReply refused = task.Do("Checkpoint", checkpoint);
  CHECK(refused.code != Code::kOk);
  CHECK(refused.code != Code::kUnimplemented);
  // Not with a container there.
  CHECK(task.Shutdown(id).code == Code::kOk);
  CHECK(task.State(id).ok());
}

void DriveExec(TaskClient task, const std::string& id) {
  CHECK(task.Exec(id, "e", "exec sleep 1000", true).code == Code::kOk);
  CHECK(task.Exec(id, "e", "true").code == Code::kAlreadyExists);
  const auto started = task.Start(id, "e");
  CAPTURE(started.message);
  REQUIRE(started.ok());
  CHECK(started.value.pid() > 0);
  task_api::ResizePtyRequest resize;
  resize.set_id(id);
  resize.set_exec_id("e");
  resize.set_width(100);
  resize.set_height(40);
  CHECK(task.Do("ResizePty", resize).code == Code::kOk);
  task_api::CloseIORequest close_io;
  close_io.set_id(id);
  close_io.set_exec_id("e");
  close_io.set_stdin(true);
  CHECK(task.Do("CloseIO", close_io).code == Code::kOk);
  CHECK(task.Kill(id, SIGKILL, "e").code == Code::kOk);
  CHECK(task.Wait(id, "e").value.exit_status() == 137);
  CHECK(task.Delete(id, "e").value.exit_status() == 137);
  CHECK(task.State(id, "e").code == Code::kNotFound);
}

// All 17 methods on a container that containerd has made and watches.
void DriveEverything(IntegrationTest* test, Transport* transport,
                     const std::string& service) {
  TaskClient task(transport, service);
  DriveRunningTask(task, "c", test->TaskPid("c"));
  DriveExec(task, "c");
  CHECK(test->TaskStatus("c") == "RUNNING");
  CHECK(task.Kill("c", SIGKILL).code == Code::kOk);
  CHECK(task.Wait("c").value.exit_status() == 137);
  CHECK(test->TaskStatus("c") == "STOPPED");
  const auto deleted = task.Delete("c");
  CHECK(deleted.ok());
  CHECK(deleted.value.exit_status() == 137);
  CHECK(task.Delete("c").code == Code::kNotFound);
  test->SeeOff(&task, "c");
}

TEST_CASE_METHOD(IntegrationTest,
                 "All methods answer beside containerd's ttrpc",
                 "[grpc][ttrpc][hydra][engines]") {
  for (const char* service : {kTaskV2, kTaskV3}) {
    for (const bool over_grpc : {true, false}) {
      CAPTURE(service, over_grpc);
      StartDetached("c", {"/bin/sleep", "1000"},
                    {"--null-io", "--memory-limit", "268435456"});
      std::unique_ptr<Transport> transport;
      if (over_grpc) {
        transport = std::make_unique<GrpcClient>(containerd().shim_socket("c"));
      } else {
        transport = Shim("c");
      }
      DriveEverything(this, transport.get(), service);
      MustCtr({"containers", "rm", "c"});
    }
  }
}

TEST_CASE_METHOD(IntegrationTest, "A whole life can be driven over gRPC",
                 "[grpc][bare][hydra]") {
  events();
  BareShim shim(&containerd(), runtime(), "bare",
                {"/bin/sh", "-c", "echo over gRPC; exit 4"});
  REQUIRE(shim.Start().status == 0);
  FifoReader out(shim.stream("out"));
  FifoReader err(shim.stream("err"));
  GrpcClient client(shim.socket());
  TaskClient task(&client, kTaskV3);
  const auto created = task.Call<task_api::CreateTaskResponse>(
      "Create", shim.CreateRequest(true));
  CAPTURE(created.message);
  REQUIRE(created.ok());
  CHECK(task.Start("bare").value.pid() == created.value.pid());
  CHECK(task.Wait("bare").value.exit_status() == 4);
  CHECK(out.ReadToEnd());
  CHECK(out.data() == "over gRPC\n");
  CHECK(task.Delete("bare").value.exit_status() == 4);
  (void)task.Shutdown("bare");  // The shim may exit before it answers.
  CHECK(events().WaitFor("/tasks/delete", "bare").has_value());
  CHECK(events().Summary("bare") == "create start exit=4 delete=4");
}

TEST_CASE_METHOD(IntegrationTest, "gRPC errors are those of ttrpc",
                 "[grpc][error][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  auto ttrpc = Shim("c");
  GrpcClient grpc(containerd().shim_socket("c"));
  TaskClient over_ttrpc(ttrpc.get());
  TaskClient over_grpc(&grpc);
  const auto compare = [](const auto& one, const auto& other) {
    CHECK(one.code == other.code);
    CHECK(one.message == other.message);
    CHECK(one.code != Code::kOk);
  };
  compare(over_ttrpc.State("nobody"), over_grpc.State("nobody"));
  compare(over_ttrpc.State("c", "e"), over_grpc.State("c", "e"));
  compare(over_ttrpc.Delete("c"), over_grpc.Delete("c"));
  compare(over_ttrpc.Start("c"), over_grpc.Start("c"));
  CHECK(grpc.Call(kTaskV2, "NoSuchMethod", "").code == Code::kUnimplemented);
  CHECK(grpc.Call("no.such.Service", "State", "").code == Code::kUnimplemented);
}

TEST_CASE_METHOD(IntegrationTest, "A gRPC Wait is pending beside ttrpc's",
                 "[grpc][wait][hydra]") {
  StartDetached("c", {"/bin/sh", "-c", "sleep 0.5; exit 11"});
  GrpcClient grpc(containerd().shim_socket("c"));
  auto ttrpc = Shim("c");
  const uint32_t wait = SendWait(ttrpc.get(), "c");
  CHECK(TaskClient(&grpc).Wait("c").value.exit_status() == 11);
  CHECK(Typed<task_api::WaitResponse>(ttrpc->Await(wait)).value.exit_status() ==
        11);
}

// The processes that are children of the container's monitor, by name.
class GrpcProcessTest : public IntegrationTest {
 protected:
  pid_t Monitor() { return ParentOf(TaskPid("c")); }
  std::vector<pid_t> Children(const std::string& program) {
    std::vector<pid_t> pids;
    for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
      if (process.parent == Monitor() &&
          process.command.find(program) != std::string::npos) {
        pids.push_back(process.pid);
      }
    }
    return pids;
  }
  uint64_t Requests() { return Inspect("c").counts().requests(); }
};

TEST_CASE_METHOD(GrpcProcessTest, "A gRPC call outlives the head",
                 "[grpc][head][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const uint64_t before = Requests();
  uint32_t status = 0;
  std::thread waiter([&] {
    GrpcClient client(containerd().shim_socket("c"));
    status = TaskClient(&client).Wait("c").value.exit_status();
  });
  REQUIRE(Eventually([&] { return Requests() == before + 1; }));
  GrpcClient grpc(containerd().shim_socket("c"));
  TaskClient task(&grpc);
  for (int i = 0; i < 5; ++i) {
    for (const pid_t head : Children("containerd-shim")) kill(head, SIGKILL);
    CHECK(task.State("c").value.status() == containerd::v1::types::RUNNING);
  }
  CHECK(task.Kill("c", SIGKILL).code == Code::kOk);
  waiter.join();
  CHECK(status == 137);
}

TEST_CASE_METHOD(GrpcProcessTest, "Only gRPC clients miss hydra-grpc",
                 "[grpc][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  CHECK(Children("hydra-grpc").empty());
  GrpcClient grpc(containerd().shim_socket("c"));
  TaskClient task(&grpc);
  REQUIRE(task.State("c").ok());
  const std::vector<pid_t> first = Children("hydra-grpc");
  REQUIRE(first.size() == 1);
  REQUIRE(kill(first[0], SIGKILL) == 0);
  // Clients connect again by themselves.
  REQUIRE(Eventually([&] { return task.State("c").ok(); }));
  REQUIRE(Children("hydra-grpc").size() == 1);
  CHECK(Children("hydra-grpc") != first);
  CHECK(TaskStatus("c") == "RUNNING");
}

TEST_CASE_METHOD(GrpcProcessTest, "Without clients hydra-grpc leaves",
                 "[grpc][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  {
    GrpcClient grpc(containerd().shim_socket("c"));
    REQUIRE(TaskClient(&grpc).State("c").ok());
  }
  REQUIRE(Children("hydra-grpc").size() == 1);
  // It looks every five seconds.
  CHECK(Eventually([&] { return Children("hydra-grpc").empty(); },
                   Milliseconds(60'000)));
  GrpcClient grpc(containerd().shim_socket("c"));
  CHECK(TaskClient(&grpc).State("c").ok());
}

TEST_CASE_METHOD(GrpcProcessTest, "Calls that were given up do not pile up",
                 "[grpc][wait][hydra]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  const uint64_t before = Requests();
  GrpcClient grpc(containerd().shim_socket("c"));
  task_api::WaitRequest request;
  request.set_id("c");
  for (int i = 0; i < 20; ++i) {
    CHECK(grpc.Call(kTaskV2, "Wait", request.SerializeAsString(),
                    Milliseconds(20))
              .code != Code::kOk);
  }
  CHECK(Eventually([&] { return Requests() == before; }));
}

TEST_CASE("Without hydra-grpc gRPC is refused, and nothing else",
          "[grpc][hydra]") {
  Installation installation;
  std::filesystem::remove(installation.grpc());
  IntegrationTest test;
  test.StartDetached("c", {"/bin/sleep", "1000"});
  {
    // It would try again until then.
    GrpcClient grpc(test.containerd().shim_socket("c"));
    CHECK(grpc.Call("hydra.v1.Instance", "Inspect", "", Milliseconds(2000))
              .code != Code::kOk);
  }
  CHECK(test.TaskStatus("c") == "RUNNING");
  CHECK(Eventually([&] {
    return test.containerd().LogTail().find(
               "gRPC connection closed: start hydra-grpc: ENOENT") !=
           std::string::npos;
  }));
}

TEST_CASE_METHOD(IntegrationTest, "Health and reflection answer",
                 "[grpc][hydra]") {
  constexpr char kReflection[] = "grpc.reflection.v1alpha.ServerReflection";
  StartDetached("c", {"/bin/sleep", "1000"});
  GrpcClient client(containerd().shim_socket("c"));
  const auto health = MustCall<HealthCheckResponse>(
      &client, "grpc.health.v1.Health", "Check", HealthCheckRequest());
  CHECK(health.status() == 1);
  ServerReflectionRequest list;
  list.set_list_services("*");
  const auto listed = MustCall<ServerReflectionResponse>(
      &client, kReflection, "ServerReflectionInfo", list);
  std::set<std::string> names;
  for (const auto& service : listed.list_services_response().service()) {
    names.insert(service.name());
  }
  CHECK(names.count(kTaskV2) == 1);
  CHECK(names.count(kTaskV3) == 1);
  CHECK(names.count("grpc.health.v1.Health") == 1);
  ServerReflectionRequest describe;
  describe.set_file_containing_symbol(kTaskV2);
  const auto described = MustCall<ServerReflectionResponse>(
      &client, kReflection, "ServerReflectionInfo", describe);
  CHECK(described.file_descriptor_response().file_descriptor_proto_size() > 0);
}

}  // namespace
}  // namespace hydra::testing
