#include "test/chaos/lane.h"

#include <signal.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "test/chaos/plan.h"

namespace hydra::testing {
namespace {

namespace engine_api = ::hydra::testing::engine;
using google::protobuf::Empty;

constexpr char kSpecType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/Spec";
constexpr char kProcessType[] =
    "types.containerd.io/opencontainers/runtime-spec/1/Process";

nlohmann::json ProcessSpec(const ProcessPlan& plan) {
  return {{"user", {{"uid", 0}, {"gid", 0}}},
          {"args", plan.Command()},
          {"env", {"PATH=/bin"}},
          {"cwd", "/"}};
}

nlohmann::json ContainerSpec(const ProcessPlan& plan, const std::string& rootfs,
                             const std::string& cgroup) {
  nlohmann::json namespaces = nlohmann::json::array();
  for (const char* type : {"pid", "ipc", "uts", "mount"}) {
    namespaces.push_back({{"type", type}});
  }
  return {{"ociVersion", "1.0.2"},
          {"process", ProcessSpec(plan)},
          {"root", {{"path", rootfs}}},
          {"mounts",
           {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
            // The root file system is everybody's.
            {{"destination", "/dev"},
             {"type", "tmpfs"},
             {"source", "tmpfs"},
             {"options", {"nosuid", "mode=755"}}}}},
          {"linux", {{"cgroupsPath", cgroup}, {"namespaces", namespaces}}}};
}

// The life of one container. A check that fails ends it.
class Life final {
 public:
  Life(World* world, uint64_t lane, uint64_t number);
  void Run();

 private:
  bool Create();
  bool Start();
  bool RunStep(const Step& step);
  bool RunExec(const Step& step);
  bool PauseAndResume(bool direct);
  bool Look();
  bool End();
  bool Delete();
  bool CheckStream(const std::string& name, StreamSink* sink,
                   const ProcessPlan& plan);

  // The engine's method, or the shim's of the same name: their requests for
  // these are the same on the wire but for Kill's and Exec's.
  RawReply Do(bool direct, const std::string& method,
              const std::string& exec_id = {});
  RawReply Kill(bool direct, uint32_t signal, const std::string& exec_id);
  bool EndProcess(bool direct, const ProcessPlan& plan, StreamSink* sink,
                  const std::string& exec_id);

  bool Fail(const std::string& what);
  template <typename R>
  bool Expect(const R& reply, const std::string& what) {
    ++world_.operations;
    if (reply.code == Code::kOk) return true;
    return Fail(what + ": code " +
                std::to_string(static_cast<int>(reply.code)) + ": " +
                reply.message);
  }
  bool ExpectStatus(uint32_t status, uint32_t expected,
                    const std::string& what);

  World& world_;
  const std::string id_;
  const ContainerPlan plan_;
  const uint64_t epoch_;  // At its beginning.
  std::string step_ = "create";
  StreamSink sink_;
  std::unique_ptr<TtrpcClient> shim_;
  std::optional<TaskClient> task_;
  uint32_t wait_ = 0;
  uint32_t pid_ = 0;
  int execs_ = 0;
};

Life::Life(World* world, uint64_t lane, uint64_t number)
    : world_(*world),
      id_("l" + std::to_string(lane) + "c" + std::to_string(number)),
      plan_(MakePlan(world->seed, lane, number)),
      epoch_(world->events->epoch()),
      sink_(plan_.init.sink, world->directory + "/" + id_,
            plan_.init.stream_seed) {}

void Life::Run() {
  if (!Create() || !Start()) return;
  for (const Step& step : plan_.steps) {
    step_ = ToString(step);
    if (!RunStep(step)) return;
  }
  if (!End() || !Delete()) return;
  ++world_.containers;
}

bool Life::Fail(const std::string& what) {
  world_.Fail(id_, "container " + id_ + " (" + ToString(plan_.init) +
                       "), seed " + std::to_string(world_.seed) + ", step \"" +
                       step_ + "\": " + what);
  return false;
}

bool Life::ExpectStatus(uint32_t status, uint32_t expected,
                        const std::string& what) {
  if (status == expected) return true;
  return Fail(what + " tells exit status " + std::to_string(status) + ", not " +
              std::to_string(expected));
}

bool Life::Create() {
  engine_api::CreateContainerRequest container;
  container.mutable_container()->set_id(id_);
  container.mutable_container()->mutable_runtime()->set_name(world_.runtime);
  auto* spec = container.mutable_container()->mutable_spec();
  spec->set_type_url(kSpecType);
  spec->set_value(ContainerSpec(plan_.init, world_.rootfs,
                                "/" + world_.containerd->ns() + "/" + id_)
                      .dump());
  engine_api::CreateTaskRequest request;
  request.set_container_id(id_);
  request.set_stdout(sink_.name());
  {
    const Gate::Pass pass(&world_.gate);
    if (!Expect(world_.engine->Containers("Create", container),
                "create container")) {
      return false;
    }
    const auto created =
        world_.engine->Tasks<engine_api::CreateTaskResponse>("Create", request);
    if (!Expect(created, "create")) return false;
    pid_ = created.value.pid();
  }
  shim_ = std::make_unique<TtrpcClient>(world_.containerd->shim_socket(id_),
                                        world_.containerd->ns());
  if (!shim_->connected()) return Fail("cannot connect to the shim");
  task_.emplace(shim_.get());
  wait_ = SendWait(shim_.get(), id_);
  return true;
}

bool Life::Start() {
  step_ = "start";
  engine_api::ProcessRequest request;
  request.set_container_id(id_);
  const Gate::Pass pass(&world_.gate);
  const auto started =
      world_.engine->Tasks<engine_api::StartResponse>("Start", request);
  if (!Expect(started, "start")) return false;
  if (started.value.pid() == pid_) return true;
  return Fail("start tells another pid than create");
}

bool Life::RunStep(const Step& step) {
  switch (step.kind) {
    case Step::Kind::kExec:
      return RunExec(step);
    case Step::Kind::kPauseAndResume:
      return PauseAndResume(step.direct);
    case Step::Kind::kLook:
      return Look();
    case Step::Kind::kRest:
      // Not to wait for anything: time in which something may die.
      std::this_thread::sleep_for(Milliseconds(step.rest_ms));
      return true;
  }
  return false;
}

RawReply Life::Do(bool direct, const std::string& method,
                  const std::string& exec_id) {
  if (direct) {
    return task_->Do(method,
                     TaskClient::For<task_api::StateRequest>(id_, exec_id));
  }
  engine_api::ProcessRequest request;
  request.set_container_id(id_);
  request.set_exec_id(exec_id);
  const Gate::Pass pass(&world_.gate);
  // Its answer is not looked at.
  const auto reply = world_.engine->Tasks<Empty>(method, request);
  return {reply.code, reply.message, {}};
}

RawReply Life::Kill(bool direct, uint32_t signal, const std::string& exec_id) {
  if (direct) return task_->Kill(id_, signal, exec_id);
  engine_api::KillRequest request;
  request.set_container_id(id_);
  request.set_exec_id(exec_id);
  request.set_signal(signal);
  const Gate::Pass pass(&world_.gate);
  const auto reply = world_.engine->Tasks<Empty>("Kill", request);
  return {reply.code, reply.message, {}};
}

bool Life::PauseAndResume(bool direct) {
  if (!Expect(Do(direct, "Pause"), "pause")) return false;
  const auto paused = task_->State(id_);
  if (!Expect(paused, "state")) return false;
  if (paused.value.status() != containerd::v1::types::PAUSED) {
    return Fail("not paused after pause");
  }
  return Expect(Do(direct, "Resume"), "resume") && Look();
}

bool Life::Look() {
  const auto state = task_->State(id_);
  if (!Expect(state, "state")) return false;
  if (state.value.status() != containerd::v1::types::RUNNING) {
    return Fail("does not run");
  }
  if (state.value.pid() != pid_) return Fail("state tells another pid");
  const auto pids = task_->Pids(id_);
  if (!Expect(pids, "pids")) return false;
  for (const auto& process : pids.value.processes()) {
    if (process.pid() == pid_) return true;
  }
  return Fail("pids does not have the init");
}

bool Life::EndProcess(bool direct, const ProcessPlan& plan, StreamSink* sink,
                      const std::string& exec_id) {
  if (plan.ending == Ending::kByItself) return true;
  if (!sink->WaitForOutput()) return Fail("no output");
  const bool term = plan.ending == Ending::kTerminated;
  return Expect(Kill(direct, term ? SIGTERM : SIGKILL, exec_id), "kill");
}

bool Life::RunExec(const Step& step) {
  ++world_.execs;
  const std::string exec_id = "e" + std::to_string(execs_++);
  const uint64_t epoch = world_.events->epoch();
  StreamSink sink(step.exec.sink, world_.directory + "/" + id_ + exec_id,
                  step.exec.stream_seed);
  const std::string spec = ProcessSpec(step.exec).dump();
  RawReply added;
  if (step.direct) {
    auto request = TaskClient::For<task_api::ExecProcessRequest>(id_, exec_id);
    request.set_stdout(sink.name());
    request.mutable_spec()->set_type_url(kProcessType);
    request.mutable_spec()->set_value(spec);
    added = task_->Do("Exec", request);
  } else {
    engine_api::ExecProcessRequest request;
    request.set_container_id(id_);
    request.set_exec_id(exec_id);
    request.set_stdout(sink.name());
    request.mutable_spec()->set_type_url(kProcessType);
    request.mutable_spec()->set_value(spec);
    const Gate::Pass pass(&world_.gate);
    const auto reply = world_.engine->Tasks<Empty>("Exec", request);
    added = {reply.code, reply.message, {}};
  }
  if (!Expect(added, "exec")) return false;
  const uint32_t wait = SendWait(shim_.get(), id_, exec_id);
  if (!Expect(Do(step.direct, "Start", exec_id), "start of the exec") ||
      !EndProcess(step.direct, step.exec, &sink, exec_id)) {
    return false;
  }
  const uint32_t expected = step.exec.expected_status();
  const auto ended =
      Typed<task_api::WaitResponse>(shim_->Await(wait, 2 * kPatience));
  if (!Expect(ended, "wait for the exec") ||
      !ExpectStatus(ended.value.exit_status(), expected, "wait")) {
    return false;
  }
  if (!world_.events->WaitForExit(epoch, id_, exec_id)) {
    return Fail("no exit event of exec " + exec_id);
  }
  const auto deleted = task_->Delete(id_, exec_id);
  return Expect(deleted, "delete of the exec") &&
         ExpectStatus(deleted.value.exit_status(), expected, "delete") &&
         CheckStream("exec " + exec_id, &sink, step.exec);
}

bool Life::End() {
  step_ = "end";
  if (!EndProcess(plan_.direct_kill, plan_.init, &sink_, {})) return false;
  const uint32_t expected = plan_.init.expected_status();
  const auto ended =
      Typed<task_api::WaitResponse>(shim_->Await(wait_, 2 * kPatience));
  if (!Expect(ended, "wait") ||
      !ExpectStatus(ended.value.exit_status(), expected, "wait")) {
    return false;
  }
  if (!world_.events->WaitForExit(epoch_, id_, {})) {
    return Fail("no exit event");
  }
  const auto again = task_->Wait(id_);
  const auto state = task_->State(id_);
  if (!Expect(again, "second wait") || !Expect(state, "state") ||
      !ExpectStatus(again.value.exit_status(), expected, "second wait")) {
    return false;
  }
  if (state.value.status() != containerd::v1::types::STOPPED) {
    return Fail("not stopped");
  }
  return ExpectStatus(state.value.exit_status(), expected, "state");
}

bool Life::Delete() {
  step_ = "delete";
  shim_.reset();
  engine_api::ProcessRequest request;
  request.set_container_id(id_);
  engine_api::DeleteContainerRequest container;
  container.set_id(id_);
  {
    const Gate::Pass pass(&world_.gate);
    const auto deleted =
        world_.engine->Tasks<engine_api::DeleteResponse>("Delete", request);
    if (!Expect(deleted, "delete") ||
        !ExpectStatus(deleted.value.exit_status(), plan_.init.expected_status(),
                      "delete") ||
        !Expect(world_.engine->Containers("Delete", container),
                "delete container")) {
      return false;
    }
  }
  if (!CheckStream("the container", &sink_, plan_.init)) return false;
  // The delete event is the engine's own, after the answer.
  const bool complete = epoch_ % 2 == 0 && epoch_ == world_.events->epoch();
  std::string wrong;
  if (!Eventually([&] {
        wrong = world_.events->Check(
            id_, complete && epoch_ == world_.events->epoch());
        return wrong.empty();
      })) {
    return Fail("events: " + wrong);
  }
  return true;
}

bool Life::CheckStream(const std::string& name, StreamSink* sink,
                       const ProcessPlan& plan) {
  const StreamChecker& stream = sink->Finish();
  world_.bytes += stream.bytes();
  if (!stream.error().empty()) {
    return Fail("output of " + name + ": " + stream.error());
  }
  // One that is killed has no last word.
  if (plan.ending == Ending::kKilled || stream.ended()) return true;
  return Fail("output of " + name + " ends after " +
              std::to_string(stream.bytes()) + " bytes of " +
              std::to_string(plan.bytes));
}

}  // namespace

void RunLane(World* world, uint64_t lane) {
  for (uint64_t number = 0; !world->finish; ++number) {
    Life(world, lane, number).Run();
  }
}

}  // namespace hydra::testing
