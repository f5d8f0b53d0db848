#include "shim/runtime/runtime.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "shim/base/file.h"
#include "shim/base/status.h"
#include "test/unit/base/temp_directory.h"
#include "test/unit/event/run_loop.h"
#include "test/unit/task/fake_monitor.h"

namespace hydra {
namespace {

using Strings = std::vector<std::string>;

class RuntimeTest {
 protected:
  RuntimeTest() : loop_(MakeLoop()) {
    config_.id = "c1";
    config_.container_namespace = "blue";
    config_.bundle = directory_.path();
    config_.pid_directory = "/pids";
    fake_.on_spawn = [this](const FakeMonitor::Spawn& spawn) {
      return run_ ? run_(spawn) : FakeMonitor::SpawnResult();
    };
    Connect();
  }
  void Connect() {
    runtime_.reset();
    monitor_ = fake_.Connect(loop_.get());
    MonitorClient::Handlers handlers;
    handlers.on_request = [](MonitorClient::Request) {};
    handlers.on_cancelled = [](uint64_t) {};
    handlers.on_exit = [](uint64_t, ProcessExit) {};
    handlers.on_stream = [](const link::StreamState&) {};
    handlers.on_monitor_lost = [] { FAIL("the monitor is lost"); };
    REQUIRE(monitor_->Serve(std::move(handlers)).ok());
    runtime_ = std::make_unique<Runtime>(loop_.get(), monitor_.get(), config_);
  }
  // The words after those that every command has.
  Strings LastCommand() const {
    const auto& argv = fake_.spawns().back().argv;
    REQUIRE(argv.size() > 7);
    return Strings(argv.begin() + 7, argv.end());
  }
  template <typename T>
  T Run(Async<T> work) {
    return Await(loop_.get(), std::move(work));
  }
  // The run writes `output` and ends.
  void Says(const std::string& output, int wait_status) {
    run_ = [=](const FakeMonitor::Spawn& spawn) {
      REQUIRE(write(spawn.fds.at(1).get(), output.data(), output.size()) ==
              static_cast<ssize_t>(output.size()));
      return FakeMonitor::SpawnResult{0, wait_status};
    };
  }

  TempDirectory directory_;
  std::unique_ptr<EventLoop> loop_;
  FakeMonitor fake_;
  Runtime::Config config_;
  std::unique_ptr<MonitorClient> monitor_;
  std::unique_ptr<Runtime> runtime_;
  std::function<FakeMonitor::SpawnResult(const FakeMonitor::Spawn&)> run_;
};

TEST_CASE_METHOD(RuntimeTest, "Each command has containerd's command line") {
  CHECK(Run(runtime_->Start({1, 1})).ok());
  CHECK(LastCommand() == Strings{"start", "c1"});
  CHECK(Run(runtime_->Kill({2, 1}, SIGTERM, false)).ok());
  CHECK(LastCommand() == Strings{"kill", "c1", "15"});
  CHECK(Run(runtime_->Kill({3, 1}, SIGKILL, true)).ok());
  CHECK(LastCommand() == Strings{"kill", "--all", "c1", "9"});
  CHECK(Run(runtime_->Delete({4, 1}, true)).ok());
  CHECK(LastCommand() == Strings{"delete", "--force", "c1"});
  CHECK(Run(runtime_->Pause({5, 1})).ok());
  CHECK(LastCommand() == Strings{"pause", "c1"});
  CHECK(Run(runtime_->Resume({6, 1})).ok());
  CHECK(LastCommand() == Strings{"resume", "c1"});
  ProcessStdio terminal;
  terminal.console_socket = "/s";
  CHECK(Run(runtime_->Exec({7, 1}, "e1", "/p.json", terminal)).ok());
  CHECK(LastCommand() == Strings{"exec", "--process", "/p.json",
                                 "--console-socket", "/s", "--detach",
                                 "--pid-file", "/pids/e1.pid", "c1"});
}

TEST_CASE_METHOD(RuntimeTest, "CRIU's logs have a place in any bundle") {
  const std::string work = config_.bundle + "/work";
  SECTION("of a checkpoint") {
    CHECK(Run(runtime_->Checkpoint({1, 1}, "/image", {})).ok());
    CHECK(LastCommand() == Strings{"checkpoint", "--image-path", "/image",
                                   "--work-path", work + "/criu-work",
                                   "--leave-running", "c1"});
  }
  SECTION("of a restore") {
    REQUIRE(mkdir(work.c_str(), 0700) == 0);
    CHECK(Run(runtime_->Restore({1, 1}, "/image", "", ProcessStdio())).ok());
    CHECK(LastCommand()[4] == work);
  }
  CHECK(access(work.c_str(), W_OK) == 0);
}

TEST_CASE_METHOD(RuntimeTest, "Options become flags") {
  config_.options.set_binary_name("/opt/crun");
  config_.options.set_root("/r");
  config_.options.set_systemd_cgroup(true);
  config_.options.set_no_pivot_root(true);
  config_.options.set_no_new_keyring(true);
  Connect();
  CHECK(Run(runtime_->Create({1, 1}, {})).ok());
  CHECK(fake_.spawns().back().argv ==
        Strings{"/opt/crun", "--root", "/r/blue", "--log",
                directory_ / "log.json", "--log-format", "json",
                "--systemd-cgroup", "create", "--bundle", directory_.path(),
                "--pid-file", "/pids/init.pid", "--no-pivot",
                "--no-new-keyring", "c1"});
}

TEST_CASE_METHOD(RuntimeTest, "A failure is told by the last logged error") {
  const std::string path = directory_ / "log.json";
  const std::string before = R"({"level":"error","msg":"of a run before"})";
  const std::string reason = R"({"level":"error","msg":"the reason"})";
  REQUIRE(ReplaceFile(path, before + "\n", 0600).ok());
  run_ = [&](const auto&) {
    REQUIRE(ReplaceFile(path, before + "\n" + reason + "\n", 0600).ok());
    return FakeMonitor::SpawnResult{0, 1 << 8};
  };
  const auto status = Run(runtime_->Start({1, 1}));
  CHECK(status.code() == absl::StatusCode::kUnknown);
  CHECK(Message(status) == "OCI runtime start failed: the reason");
}

TEST_CASE_METHOD(RuntimeTest,
                 "A failure without a logged error tells the output") {
  REQUIRE(ReplaceFile(directory_ / "log.json", "", 0600).ok());
  Says("some text\n\n", 3 << 8);
  CHECK(Message(Run(runtime_->Start({1, 1}))) ==
        "OCI runtime start failed: runc did not terminate successfully: exit "
        "status 3: some text");
  Says("", SIGSEGV);
  CHECK(Message(Run(runtime_->Start({2, 1}))) ==
        "OCI runtime start failed: runc did not terminate successfully: "
        "signal: segmentation fault");
}

TEST_CASE_METHOD(RuntimeTest, "Kill of what is gone is NotFound") {
  Says("container not running", 1 << 8);
  auto status = Run(runtime_->Kill({1, 1}, 9, false));
  CHECK(absl::IsNotFound(status));
  CHECK(Message(status) == "process already finished: not found");
  Says("container \"c1\" does not exist", 1 << 8);
  status = Run(runtime_->Kill({2, 1}, 9, false));
  CHECK(Message(status) == "no such container: not found");
  Says("kill: No Such Process", 1 << 8);
  CHECK(absl::IsNotFound(Run(runtime_->Kill({3, 1}, 9, false))));
  Says("on fire", 1 << 8);
  status = Run(runtime_->Kill({4, 1}, 9, false));
  CHECK(status.code() == absl::StatusCode::kUnknown);
  CHECK(Message(status).starts_with("unknown error after kill: "));
}

TEST_CASE_METHOD(RuntimeTest,
                 "Delete of what the runtime does not know is done") {
  Says("container does not exist", 1 << 8);
  REQUIRE(ReplaceFile(directory_ / "log.json", "", 0600).ok());
  CHECK(Run(runtime_->Delete({1, 1}, false)).ok());
}

TEST_CASE_METHOD(RuntimeTest, "Processes reads ps") {
  Says("[1,22,333]", 0);
  CHECK(*Run(runtime_->Processes({1, 1})) == std::vector<int>{1, 22, 333});
  Says("null", 0);
  CHECK(Run(runtime_->Processes({2, 1}))->empty());
  Says("{\"no\":1}", 0);
  CHECK_FALSE(Run(runtime_->Processes({3, 1})).ok());
  Says("", 0);
  CHECK_FALSE(Run(runtime_->Processes({4, 1})).ok());
}

TEST_CASE_METHOD(RuntimeTest, "Update gives the resources on standard input") {
  std::string input;
  run_ = [&](const FakeMonitor::Spawn& spawn) {
    char buffer[100];
    const ssize_t n = read(spawn.fds.at(0).get(), buffer, sizeof(buffer));
    if (n > 0) input.assign(buffer, static_cast<size_t>(n));
    return FakeMonitor::SpawnResult();
  };
  CHECK(Run(runtime_->Update({1, 1}, "{\"cpu\":{}}")).ok());
  CHECK(LastCommand() == Strings{"update", "--resources=-", "c1"});
  CHECK(input == "{\"cpu\":{}}");
}

TEST_CASE_METHOD(RuntimeTest, "A run that passes its deadline is killed") {
  config_.deadline = std::chrono::seconds(1);
  Connect();
  run_ = [](const auto&) { return FakeMonitor::SpawnResult{0, std::nullopt}; };
  fake_.on_signal = [this](const link::Signal& signal) {
    CHECK(signal.signal == SIGKILL);
    fake_.EndSpawn({signal.target_token, signal.target_step}, SIGKILL);
    return 0;
  };
  const auto status = Run(runtime_->Start({1, 1}));
  CHECK(absl::IsDeadlineExceeded(status));
  CHECK(Message(status) ==
        "OCI runtime start failed: runc did not end within 1s and was killed");
}

TEST_CASE_METHOD(RuntimeTest, "A runtime that cannot be executed says so") {
  run_ = [](const auto&) {
    return FakeMonitor::SpawnResult{EACCES, std::nullopt};
  };
  CHECK(
      Message(Run(runtime_->Kill({1, 1}, 9, false))).find("fork/exec runc: ") !=
      std::string::npos);
}

TEST_CASE_METHOD(RuntimeTest,
                 "A successor gets the result and output of the run") {
  Says("kept text", 4 << 8);
  REQUIRE(ReplaceFile(directory_ / "log.json", "", 0600).ok());
  const auto first = Run(runtime_->Start({1, 1}));
  Connect();
  const auto second = Run(runtime_->Start({1, 1}));
  CHECK(fake_.spawns().size() == 1);
  CHECK(Message(first) == Message(second));
  CHECK(Message(second).ends_with("exit status 4: kept text"));
}

}  // namespace
}  // namespace hydra
