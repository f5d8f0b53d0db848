// A head without its process: link client, instance, task service and
// dispatcher over a FakeMonitor, with an OCI runtime that is a script.
//
// A head that is killed is not destroyed: like the memory of a dead process
// it is never touched again, and its loop never runs again.

#ifndef HYDRA_TEST_UNIT_TASK_HEAD_FIXTURE_H_
#define HYDRA_TEST_UNIT_TASK_HEAD_FIXTURE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "containerd/task/v2/task.pb.h"
#include "shim/base/status.h"
#include "shim/rpc/dispatcher.h"
#include "shim/rpc/instance_service.h"
#include "shim/state/paths.h"
#include "shim/task/instance.h"
#include "shim/task/keeper.h"
#include "shim/task/task_service.h"
#include "test/unit/base/temp_directory.h"
#include "test/unit/event/run_loop.h"
#include "test/unit/task/fake_monitor.h"

namespace hydra {

struct TestHead {
  TestHead(std::unique_ptr<EventLoop> its_loop, FakeMonitor* fake,
           Instance::Config config);

  const std::unique_ptr<EventLoop> loop;
  const std::unique_ptr<MonitorClient> monitor;
  bool shut_down = false;
  Instance instance;
  TaskService tasks;
  const absl::Status loaded;
  Keeper keeper;
  InstanceService itself;
  Dispatcher dispatcher;
};

class HeadFixture {
 protected:
  // Pids that no process has: above the kernel's highest pid_max.
  static constexpr int kFirstPid = 4'200'000;

  HeadFixture();
  ~HeadFixture();
  HeadFixture(const HeadFixture&) = delete;
  HeadFixture& operator=(const HeadFixture&) = delete;

  void StartHead();
  void KillHead();
  void RestartHead() {
    KillHead();
    StartHead();
  }

  // ---- requests ----
  uint64_t SendBytes(const std::string& service, const std::string& method,
                     std::string payload, link::Request info = {});
  uint64_t Send(const std::string& method,
                const google::protobuf::MessageLite& request) {
    return SendBytes("containerd.task.v2.Task", method,
                     request.SerializeAsString());
  }
  bool Answered(uint64_t token) const {
    return fake_.AnswerTo(token) != nullptr;
  }
  // Waits for the answer.
  absl::StatusOr<std::string> Answer(uint64_t token);
  template <typename Reply>
  absl::StatusOr<Reply> AnswerAs(uint64_t token) {
    HYDRA_ASSIGN_OR_RETURN(const std::string bytes, Answer(token));
    Reply reply;
    REQUIRE(reply.ParseFromString(bytes));
    return reply;
  }
  // Lets everything happen that needs nothing from outside.
  void Settle() { RunFor(head_->loop.get(), std::chrono::milliseconds(15)); }

  task::CreateTaskRequest CreateRequest() const;
  absl::StatusOr<task::CreateTaskResponse> Create();
  absl::StatusOr<task::StartResponse> Start(const std::string& exec_id = "");
  absl::StatusOr<std::string> Exec(const std::string& exec_id);
  absl::StatusOr<task::DeleteResponse> Delete(const std::string& exec_id = "");
  absl::StatusOr<task::StateResponse> State(const std::string& exec_id = "");
  uint64_t SendWait(const std::string& exec_id = "");

  // ---- what came of it ----
  // Topics of the events that wait for the engine, with the exec's or
  // process's id for execs and exits: "/tasks/exit:e1".
  std::vector<std::string> Events() const;
  // The commands that the runtime was given: "create", ...
  std::vector<std::string> Commands() const;
  state::Record SavedRecord() const;
  static std::string CommandOf(const FakeMonitor::Spawn& spawn);
  // The word after `option`.
  static std::string OptionOf(const FakeMonitor::Spawn& spawn,
                              const std::string& option);
  std::string bundle() const { return directory_ / "bundle"; }
  void WriteSpec(bool private_pid_namespace);

  TempDirectory directory_;
  FakeMonitor fake_;
  // Instead of success, by command.
  std::map<std::string,
           std::function<FakeMonitor::SpawnResult(const FakeMonitor::Spawn&)>>
      runtime_;
  Instance::Config config_;
  std::unique_ptr<TestHead> head_;

 private:
  FakeMonitor::SpawnResult RunRuntime(const FakeMonitor::Spawn& spawn);

  int next_pid_ = kFirstPid;
};

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_TASK_HEAD_FIXTURE_H_
