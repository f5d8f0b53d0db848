#include "shim/task/process_state.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr TaskOperation kOperations[] = {
    TaskOperation::kStart,      TaskOperation::kDelete, TaskOperation::kExec,
    TaskOperation::kPause,      TaskOperation::kResume, TaskOperation::kUpdate,
    TaskOperation::kCheckpoint, TaskOperation::kResize,
};

struct Row {
  state::Phase phase;
  // By operation; empty: allowed.
  std::vector<std::string> reasons;
};

void CheckTable(const std::vector<Row>& table,
                absl::Status (*check)(state::Phase, TaskOperation),
                absl::StatusCode refusal) {
  REQUIRE(table.size() == state::Phase_ARRAYSIZE);
  for (const Row& row : table) {
    REQUIRE(row.reasons.size() == kTaskOperationCount);
    for (size_t i = 0; i < row.reasons.size(); ++i) {
      INFO(state::Phase_Name(row.phase) << ", operation " << i);
      const absl::Status status = check(row.phase, kOperations[i]);
      CHECK(Message(status) == row.reasons[i]);
      CHECK(status.code() ==
            (row.reasons[i].empty() ? absl::StatusCode::kOk : refusal));
    }
  }
}

// Start, Delete, Exec, Pause, Resume, Update, Checkpoint, Resize.
TEST_CASE("The init process: every state and operation") {
  const std::vector<Row> table = {
      {state::PHASE_CREATING,
       {"cannot start a creating process", "cannot delete a creating process",
        "cannot exec in a creating state",
        "cannot pause task in creating state",
        "cannot resume task in creating state",
        "cannot update a task in creating state",
        "cannot checkpoint a task in creating state",
        "cannot resize a creating container"}},
      {state::PHASE_CREATED,
       {"", "", "", "cannot pause task in created state",
        "cannot resume task in created state", "",
        "cannot checkpoint a task in created state", ""}},
      {state::PHASE_CREATED_CHECKPOINT,
       {"", "", "cannot exec in a created state",
        "cannot pause task in created state",
        "cannot resume task in created state", "",
        "cannot checkpoint a task in created state", ""}},
      {state::PHASE_RUNNING,
       {"cannot start a running process", "cannot delete a running process", "",
        "", "cannot resume a running process", "", "", ""}},
      {state::PHASE_PAUSED,
       {"cannot start a paused process", "cannot delete a paused process",
        "cannot exec in a paused state", "cannot pause a paused container", "",
        "", "", ""}},
      {state::PHASE_STOPPED,
       {"cannot start a stopped process", "", "cannot exec in a stopped state",
        "cannot pause a stopped container", "cannot resume a stopped container",
        "cannot update a stopped container",
        "cannot checkpoint a stopped container",
        "cannot resize a stopped container"}},
  };
  CheckTable(table, CheckInit, absl::StatusCode::kUnknown);
}

TEST_CASE("An exec: every state and what may be asked of an exec") {
  struct ExecRow {
    state::Phase phase;
    std::string start;
    std::string remove;
    std::string resize;
  };
  const std::vector<ExecRow> table = {
      {state::PHASE_CREATING, "", "", ""},
      {state::PHASE_CREATED, "", "", ""},
      {state::PHASE_CREATED_CHECKPOINT, "", "", ""},
      {state::PHASE_RUNNING, "cannot start a running process",
       "cannot delete a running process", ""},
      {state::PHASE_PAUSED, "cannot start a running process",
       "cannot delete a running process", ""},
      {state::PHASE_STOPPED, "cannot start a stopped process", "",
       "cannot resize a stopped container"},
  };
  REQUIRE(table.size() == state::Phase_ARRAYSIZE);
  for (const ExecRow& row : table) {
    INFO(state::Phase_Name(row.phase));
    CHECK(Message(CheckExec(row.phase, TaskOperation::kStart)) == row.start);
    CHECK(Message(CheckExec(row.phase, TaskOperation::kDelete)) == row.remove);
    CHECK(Message(CheckExec(row.phase, TaskOperation::kResize)) == row.resize);
  }
}

TEST_CASE("An exec has no other operations, in no state") {
  for (int phase = 0; phase < state::Phase_ARRAYSIZE; ++phase) {
    for (const TaskOperation operation :
         {TaskOperation::kExec, TaskOperation::kPause, TaskOperation::kResume,
          TaskOperation::kUpdate, TaskOperation::kCheckpoint}) {
      CHECK(absl::IsInternal(
          CheckExec(static_cast<state::Phase>(phase), operation)));
    }
  }
}

TEST_CASE("Every phase has a status of the task API") {
  using namespace containerd::v1::types;  // NOLINT: an enum's values.
  CHECK(StatusOf(state::PHASE_CREATING) == CREATED);
  CHECK(StatusOf(state::PHASE_CREATED) == CREATED);
  CHECK(StatusOf(state::PHASE_CREATED_CHECKPOINT) == CREATED);
  CHECK(StatusOf(state::PHASE_RUNNING) == RUNNING);
  CHECK(StatusOf(state::PHASE_PAUSED) == PAUSED);
  CHECK(StatusOf(state::PHASE_STOPPED) == STOPPED);
}

}  // namespace
}  // namespace hydra
