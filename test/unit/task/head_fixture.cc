#include "test/unit/task/head_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <utility>

#include "containerd/events/task.pb.h"
#include "containerd/runc/v1/options.pb.h"
#include "shim/base/file.h"
#include "shim/base/log.h"
#include "shim/state/record.h"
#include "shim/task/topics.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra {

TestHead::TestHead(std::unique_ptr<EventLoop> its_loop, FakeMonitor* fake,
                   Instance::Config config)
    : loop(std::move(its_loop)),
      monitor(fake->Connect(loop.get())),
      instance(loop.get(), monitor.get(), std::move(config)),
      tasks(&instance, [this] { shut_down = true; }),
      loaded(instance.Load()),
      keeper(&instance, &tasks),
      itself(&instance, &tasks, {"check"}),
      dispatcher(&instance, &tasks, &itself, loaded) {
  MonitorClient::Handlers handlers;
  handlers.on_request = [this](MonitorClient::Request request) {
    dispatcher.OnRequest(std::move(request));
  };
  handlers.on_cancelled = [this](uint64_t token) {
    dispatcher.OnCancelled(token);
  };
  handlers.on_exit = [this](uint64_t process, ProcessExit exit) {
    instance.OnExit(process, exit);
  };
  handlers.on_stream = [this](const link::StreamState& state) {
    instance.OnStream(state);
  };
  handlers.on_monitor_lost = [this] { loop->Quit(); };
  REQUIRE(monitor->Serve(std::move(handlers)).ok());
  Detach(tasks.FinishOrphans(
      [this](uint64_t token) { return dispatcher.IsPending(token); }));
}

HeadFixture::HeadFixture() {
  SetLogSink(STDERR_FILENO, LogLevel::kError);
  InstanceName name;
  name.engine_address = directory_ / "engine.sock";
  name.container_namespace = "blue";
  name.id = "c1";
  config_.id = name.id;
  config_.container_namespace = name.container_namespace;
  auto paths = PathsOf(directory_ / "run", name);
  REQUIRE(paths.ok());
  config_.paths = *paths;
  // Nobody listens there: events stay in the outbox, to be looked at.
  config_.engine_ttrpc_address = directory_ / "engine.sock.ttrpc";
  REQUIRE(MakeInstanceDirectory(config_.paths).ok());
  REQUIRE(mkdir(bundle().c_str(), 0700) == 0);
  WriteSpec(true);
  fake_.on_spawn = [this](const FakeMonitor::Spawn& spawn) {
    return RunRuntime(spawn);
  };
}

HeadFixture::~HeadFixture() {
  if (head_ != nullptr) KillHead();
}

void HeadFixture::WriteSpec(bool private_pid_namespace) {
  const std::string namespaces =
      private_pid_namespace ? R"([{"type":"pid"}])" : "[]";
  REQUIRE(ReplaceFile(bundle() + "/config.json",
                      R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},)"
                      R"("linux":{"namespaces":)" +
                          namespaces + "}}",
                      0600)
              .ok());
}

void HeadFixture::StartHead() {
  head_ = std::make_unique<TestHead>(MakeLoop(), &fake_, config_);
}

void HeadFixture::KillHead() {
  static auto* dead = new std::vector<std::unique_ptr<TestHead>>;
  fake_.Disconnect();
  dead->push_back(std::move(head_));
}

std::string HeadFixture::CommandOf(const FakeMonitor::Spawn& spawn) {
  // runc --root R --log L --log-format json <command>
  REQUIRE(spawn.argv.size() > 7);
  return spawn.argv[7];
}

std::string HeadFixture::OptionOf(const FakeMonitor::Spawn& spawn,
                                  const std::string& option) {
  auto it = std::find(spawn.argv.begin(), spawn.argv.end(), option);
  REQUIRE((it != spawn.argv.end() && it + 1 != spawn.argv.end()));
  return *(it + 1);
}

FakeMonitor::SpawnResult HeadFixture::RunRuntime(
    const FakeMonitor::Spawn& spawn) {
  const std::string command = CommandOf(spawn);
  if (command == "create" || command == "exec") {
    REQUIRE(ReplaceFile(OptionOf(spawn, "--pid-file"),
                        std::to_string(next_pid_++), 0600)
                .ok());
  }
  if (auto it = runtime_.find(command); it != runtime_.end()) {
    return it->second(spawn);
  }
  return {};
}

uint64_t HeadFixture::SendBytes(const std::string& service,
                                const std::string& method, std::string payload,
                                link::Request info) {
  ::ttrpc::Request request;
  request.set_service(service);
  request.set_method(method);
  request.set_payload(std::move(payload));
  return fake_.SendRequest(request.SerializeAsString(), info);
}

absl::StatusOr<std::string> HeadFixture::Answer(uint64_t token) {
  REQUIRE(RunUntil(head_->loop.get(), [&] { return Answered(token); }));
  ::ttrpc::Response response;
  REQUIRE(response.ParseFromString(*fake_.AnswerTo(token)));
  if (response.status().code() != 0) {
    return MakeError(static_cast<absl::StatusCode>(response.status().code()),
                     response.status().message());
  }
  return response.payload();
}

task::CreateTaskRequest HeadFixture::CreateRequest() const {
  task::CreateTaskRequest request;
  request.set_id("c1");
  request.set_bundle(bundle());
  containerd::runc::v1::Options options;
  options.set_root(directory_ / "runtime-root");
  request.mutable_options()->set_type_url("containerd.runc.v1.Options");
  options.SerializeToString(request.mutable_options()->mutable_value());
  return request;
}

absl::StatusOr<task::CreateTaskResponse> HeadFixture::Create() {
  return AnswerAs<task::CreateTaskResponse>(Send("Create", CreateRequest()));
}

absl::StatusOr<task::StartResponse> HeadFixture::Start(
    const std::string& exec_id) {
  task::StartRequest request;
  request.set_id("c1");
  request.set_exec_id(exec_id);
  return AnswerAs<task::StartResponse>(Send("Start", request));
}

absl::StatusOr<std::string> HeadFixture::Exec(const std::string& exec_id) {
  task::ExecProcessRequest request;
  request.set_id("c1");
  request.set_exec_id(exec_id);
  request.mutable_spec()->set_value(R"({"args":["true"]})");
  return Answer(Send("Exec", request));
}

absl::StatusOr<task::DeleteResponse> HeadFixture::Delete(
    const std::string& exec_id) {
  task::DeleteRequest request;
  request.set_id("c1");
  request.set_exec_id(exec_id);
  return AnswerAs<task::DeleteResponse>(Send("Delete", request));
}

absl::StatusOr<task::StateResponse> HeadFixture::State(
    const std::string& exec_id) {
  task::StateRequest request;
  request.set_id("c1");
  request.set_exec_id(exec_id);
  return AnswerAs<task::StateResponse>(Send("State", request));
}

uint64_t HeadFixture::SendWait(const std::string& exec_id) {
  task::WaitRequest request;
  request.set_id("c1");
  request.set_exec_id(exec_id);
  return Send("Wait", request);
}

std::vector<std::string> HeadFixture::Events() const {
  std::vector<std::string> events;
  for (const auto& event : head_->instance.record().outbox()) {
    std::string name = event.topic();
    if (name == kTaskExitTopic) {
      containerd::events::TaskExit exit;
      REQUIRE(exit.ParseFromString(event.payload().value()));
      name += ":" + exit.id();
    } else if (name == kTaskExecStartedTopic) {
      containerd::events::TaskExecStarted started;
      REQUIRE(started.ParseFromString(event.payload().value()));
      name += ":" + started.exec_id();
    }
    events.push_back(std::move(name));
  }
  return events;
}

std::vector<std::string> HeadFixture::Commands() const {
  std::vector<std::string> commands;
  for (const auto& spawn : fake_.spawns()) commands.push_back(CommandOf(spawn));
  return commands;
}

state::Record HeadFixture::SavedRecord() const {
  auto record = RecordFile(config_.paths.state).Load();
  REQUIRE(record.ok());
  return *record;
}

}  // namespace hydra
