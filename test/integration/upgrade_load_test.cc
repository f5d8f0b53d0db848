// Many instances are upgraded at once, back and forth, while their containers
// write, their terminals and execs are talked to, and clients wait for them.
//
//   HYDRA_TEST_UPGRADE_COUNT   instances, 8

#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "test/integration/harness/files.h"
#include "test/integration/harness/line_reader.h"
#include "test/integration/harness/upgrade_fixture.h"

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

// More than one machine has to do at once with 200 instances.
constexpr Milliseconds kLongPatience{120'000};

int WantedCount() {
  const char* wanted = getenv("HYDRA_TEST_UPGRADE_COUNT");
  return wanted == nullptr ? 8 : atoi(wanted);
}

// What goes on in one instance during the upgrades.
class Load {
 public:
  Load(UpgradeTest* test, std::string id) : test_(*test), id_(std::move(id)) {}
  virtual ~Load() = default;
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  const std::string& id() const { return id_; }
  // Says something to the container, of which Hear is to see the effect: before
  // and after the upgrade number `round`.
  virtual void Say(int) {}
  virtual void Hear(int) {}
  // Ends it, and checks that nothing was lost and all ended as it should.
  virtual void Finish() = 0;

 protected:
  UpgradeTest& test_;
  const std::string id_;
};

// A container that writes without end, and somebody who reads.
class OutputLoad final : public Load {
 public:
  OutputLoad(UpgradeTest* test, const std::string& id)
      : Load(test, id), reader_(test->containerd().directory() + "/" + id) {
    reader_.Open();
    // 160 kB a second.
    test_.StartDetached(
        id_, {"/payload/steady-lines", "100", "10"},
        {"--log-uri", "fifo://" + test->containerd().directory() + "/" + id});
    thread_ = std::thread([this] {
      // Until the last line, which has no number.
      while (!stop_ && reader_.last().empty()) {
        reader_.Read(reader_.lines() + 1, Milliseconds(1000));
      }
      ended_ = true;
    });
  }
  ~OutputLoad() override { Stop(); }

  void Finish() override {
    CAPTURE(id_);
    test_.MustCtr({"tasks", "kill", "-s", "TERM", id_});
    CHECK(Eventually([this] { return ended_.load(); }, kLongPatience));
    Stop();
    CHECK(reader_.last() == "end " + std::to_string(reader_.lines()));
    CHECK(reader_.in_order());
    CHECK(reader_.missing() == 0);
    CHECK(test_.WaitForStatus(id_, "STOPPED"));
    CHECK(test_.DeleteTask(id_) == 0);
  }

 private:
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  LineReader reader_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

// A shell on a terminal, or one that was started with Exec.
class ShellLoad final : public Load {
 public:
  ShellLoad(UpgradeTest* test, const std::string& id, bool exec)
      : Load(test, id), exec_(exec) {
    if (exec) test_.StartDetached(id_, {"/bin/sleep", "100000"});
    SessionOptions options;
    options.terminal = !exec;
    const Arguments arguments =
        exec ? test_.ExecArguments(id_, "shell", {"/bin/sh"})
             : test_.RunArguments(id_, {"/bin/sh"}, {"--rm", "-t"});
    session_ = std::make_unique<Session>(
        test_.containerd().CtrCommand(arguments), options);
    Say(-1);
    Hear(-1);
  }

  // The shell counts: a line that was lost or came twice would show.
  void Say(int) override {
    session_->Write("echo said-$((x += 1))-\n");
    // Only what is waited for is written.
    (void)session_->ReadUntil("", Milliseconds(0));
  }
  void Hear(int round) override {
    CAPTURE(id_, round, session_->out());
    REQUIRE(session_->ReadUntil("said-" + std::to_string(round + 2) + "-",
                                kLongPatience));
  }
  void Finish() override {
    CAPTURE(id_, session_->out());
    session_->Write("exit 5\n");
    CHECK(session_->Wait() == 5);
    if (!exec_) return;
    test_.MustCtr({"tasks", "kill", "-s", "KILL", id_});
    CHECK(test_.WaitForStatus(id_, "STOPPED"));
    CHECK(test_.DeleteTask(id_) == 137);
  }

 private:
  const bool exec_;
  std::unique_ptr<Session> session_;
};

// Clients that wait for the container and for an exec of it.
class WaitLoad final : public Load {
 public:
  WaitLoad(UpgradeTest* test, const std::string& id) : Load(test, id) {
    test_.StartDetached(id_, {"/bin/sleep", "100000"});
    shim_ = test_.Shim(id_);
    TaskClient task(shim_.get());
    REQUIRE(task.Exec(id_, "e", "exec sleep 100000").code == Code::kOk);
    REQUIRE(task.Start(id_, "e").ok());
    wait_ = SendWait(shim_.get(), id_);
    exec_wait_ = SendWait(shim_.get(), id_, "e");
  }

  // On the connection with the waits, and a start of another exec with it.
  void Say(int round) override {
    state_ = shim_->Send(
        kTaskV2, "State",
        TaskClient::For<task_api::StateRequest>(id_).SerializeAsString());
    const std::string exec_id = ExecId(round);
    CHECK(TaskClient(shim_.get()).Exec(id_, exec_id, "exit 7").code ==
          Code::kOk);
    start_ = shim_->Send(kTaskV2, "Start",
                         TaskClient::For<task_api::StartRequest>(id_, exec_id)
                             .SerializeAsString());
  }
  void Hear(int round) override {
    CAPTURE(id_, round);
    const auto state =
        Typed<task_api::StateResponse>(shim_->Await(state_, kLongPatience));
    CAPTURE(state.message);
    CHECK(state.value.status() == containerd::v1::types::RUNNING);
    const RawReply started = shim_->Await(start_, kLongPatience);
    CAPTURE(started.message);
    CHECK(started.code == Code::kOk);
    TaskClient task(shim_.get());
    CHECK(task.Wait(id_, ExecId(round)).value.exit_status() == 7);
    CHECK(task.Delete(id_, ExecId(round)).value.exit_status() == 7);
  }
  void Finish() override {
    CAPTURE(id_);
    CHECK(TaskClient(shim_.get()).Kill(id_, SIGTERM, "e").code == Code::kOk);
    CHECK(StatusOf(exec_wait_) == 143);
    test_.MustCtr({"tasks", "kill", "-s", "KILL", id_});
    CHECK(StatusOf(wait_) == 137);
    CHECK(test_.DeleteTask(id_) == 137);
  }

 private:
  uint32_t StatusOf(uint32_t wait) {
    const auto reply =
        Typed<task_api::WaitResponse>(shim_->Await(wait, kLongPatience));
    CAPTURE(reply.message);
    CHECK(reply.ok());
    return reply.value.exit_status();
  }

  static std::string ExecId(int round) { return "e" + std::to_string(round); }

  std::unique_ptr<TtrpcClient> shim_;
  uint32_t wait_ = 0;
  uint32_t exec_wait_ = 0;
  uint32_t state_ = 0;
  uint32_t start_ = 0;
};

std::unique_ptr<Load> MakeLoad(UpgradeTest* test, int number) {
  const std::string id = "c" + std::to_string(number);
  switch (number % 4) {
    case 0:
      return std::make_unique<OutputLoad>(test, id);
    case 1:
      return std::make_unique<ShellLoad>(test, id, false);
    case 2:
      return std::make_unique<ShellLoad>(test, id, true);
    default:
      return std::make_unique<WaitLoad>(test, id);
  }
}

// Pids of the tasks, by container.
std::map<std::string, std::string> Tasks(UpgradeTest* test) {
  std::map<std::string, std::string> tasks;
  for (const std::string& line : Lines(test->MustCtr({"tasks", "ls"}))) {
    const std::vector<std::string> fields = Words(line);
    if (fields.size() >= 3 && fields[2] == "RUNNING") {
      tasks[fields[0]] = fields[1];
    }
  }
  return tasks;
}

void Print(const char* name, std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  std::cout << "  " << name << " p50 " << ms[ms.size() / 2] << " ms, p99 "
            << ms[ms.size() * 99 / 100] << " ms, max " << ms.back() << " ms\n";
}

void CheckReports(const UpgradeTest::Reports& reports, bool to_next) {
  std::vector<double> pauses;
  std::vector<double> durations;
  for (const auto& [id, report] : reports) {
    CAPTURE(report.dump());
    CHECK(report["result"] == "upgraded");
    CHECK(UpgradeTest::IsNext(report["monitor_to"]) == to_next);
    CHECK(UpgradeTest::IsNext(report["head_to"]) == to_next);
    pauses.push_back(report.value("pause_ms", 0.0));
    durations.push_back(report["duration_ms"]);
  }
  Print("pause", std::move(pauses));
  Print("request to answer", std::move(durations));
}

TEST_CASE_METHOD(UpgradeTest, "Many instances are upgraded at once under load",
                 "[upgrade][hydra]") {
  constexpr int kRounds = 4;
  const int count = WantedCount();
  std::vector<std::unique_ptr<Load>> loads;
  for (int i = 0; i < count; ++i) loads.push_back(MakeLoad(this, i));
  const auto tasks = Tasks(this);
  REQUIRE(tasks.size() == loads.size());
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const bool to_next = round % 2 == 0;
    to_next ? InstallNext() : InstallThis();
    const auto begin = Clock::now();
    // Some at a time, as it does by default, and all that there are.
    const int at_once = round < kRounds / 2 ? std::min(8, count) : count;
    Session upgrade(UpgradeAllCommand(
        {"--timeout", "60s", "--parallel", std::to_string(at_once)}));
    for (const auto& load : loads) load->Say(round);
    const auto status = upgrade.Wait(kLongPatience);
    const std::chrono::duration<double> took = Clock::now() - begin;
    for (const auto& load : loads) load->Hear(round);
    std::cout << count << " instances upgraded in " << took.count() << " s, "
              << at_once << " at once\n";
    CAPTURE(upgrade.out(), upgrade.err());
    REQUIRE(status == 0);
    const Reports reports = ParseReports(upgrade.out());
    REQUIRE(reports.size() == loads.size());
    CheckReports(reports, to_next);
    CHECK(Tasks(this) == tasks);
  }
  CHECK(containerd().LogTail(1 << 22).find("shim disconnected") ==
        std::string::npos);
  for (const auto& load : loads) load->Finish();
}

}  // namespace
}  // namespace hydra::testing
