// The monitor runs under valgrind's memcheck through all that it does, and at
// its end has neither done anything wrong nor left anything: no error, no leak,
// no descriptor.

#include <signal.h>
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/grpc_client.h"
#include "test/integration/harness/installation.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kReportVariable[] = "HYDRA_TEST_MEMCHECK_DIR";

// Where the monitors' reports go; and heads leave after a second without
// anything to do. First, because containerd inherits both.
class ReportDirectory {
 public:
  ReportDirectory() {
    char pattern[] = "/tmp/hydra-memcheck-XXXXXX";
    if (mkdtemp(pattern) == nullptr) FAIL("mkdtemp " << pattern);
    directory_ = pattern;
    setenv(kReportVariable, pattern, 1);
    setenv("HYDRA_IDLE_SECONDS", "1", 1);
  }
  ~ReportDirectory() {
    unsetenv(kReportVariable);
    unsetenv("HYDRA_IDLE_SECONDS");
    std::error_code ignored;  // What stays is in /tmp.
    fs::remove_all(directory_, ignored);
  }
  ReportDirectory(const ReportDirectory&) = delete;
  ReportDirectory& operator=(const ReportDirectory&) = delete;

  std::vector<std::string> Reports() const {
    std::vector<std::string> reports;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      reports.push_back(ReadFile(entry.path()).value_or(""));
    }
    return reports;
  }

 private:
  std::string directory_;
};

class MemcheckTest : public ReportDirectory,
                     public Installation,
                     public IntegrationTest {
 public:
  bool CanRun() {
    const bool has_valgrind = Run({"valgrind", "--version"}).status == 0;
    const std::string program = Memcheck("hydra-monitor-memcheck");
    if (!has_valgrind || !fs::exists(program)) return false;
    Replace(monitor(), ReadFile(program).value_or(""));
    return true;
  }

  void StartSpooling(const std::string& fifo) {
    StartDetached(
        "c",
        {"/bin/sh", "-c",
         "/payload/numbered-lines " + std::to_string(kBytes) + "; sleep 1000"},
        {"--log-uri", "fifo://" + fifo});
  }
  // Neither a head nor its death is of interest here, but how the monitor takes
  // it.
  void KillHead(const std::string& id) {
    const v1::InspectResponse before = Inspect(id);
    REQUIRE(kill(before.head().pid(), SIGKILL) == 0);
    REQUIRE(Eventually([&] {
      return Inspect(id).head().generation() > before.head().generation();
    }));
  }
  void AwaitRest(const std::string& id) {
    const pid_t monitor_pid = Inspect(id).monitor().pid();
    REQUIRE(Eventually([&] {
      for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
        if (process.parent == monitor_pid &&
            process.command.find(" serve") != std::string::npos) {
          return false;
        }
      }
      return true;
    }));
  }
  void Upgrade(const std::string& program) {
    const Result result =
        Run({shim(), "upgrade", "--namespace", containerd().ns(), "--monitor",
             Memcheck(program)});
    CAPTURE(result.out, result.err);
    REQUIRE(result.status == 0);
    ++upgrades_;
  }

  // The life of two containers and of what belongs to them, with upgrades in
  // the middle of it or without.
  void Live(bool with_upgrades);
  void CheckReports(size_t monitors) const;

 private:
  static constexpr size_t kBytes = 4 << 20;

  static std::string Memcheck(const std::string& program) {
    return std::string(HYDRA_TEST_MEMCHECK_DIR) + "/" + program;
  }

  size_t upgrades_ = 0;
};

void MemcheckTest::Live(bool with_upgrades) {
  FifoReader lines(containerd().directory() + "/lines");
  StartSpooling(containerd().directory() + "/lines");
  const pid_t monitor_pid = Inspect("c").monitor().pid();
  const std::string exe = "/proc/" + std::to_string(monitor_pid) + "/exe";
  CHECK(fs::read_symlink(exe).filename().string().rfind("memcheck", 0) == 0);
  // Events wait for the engine that comes back.
  containerd().Kill();
  kill(Inspect("c").head().pid(), SIGKILL);
  containerd().Start();

  SessionOptions with_terminal;
  with_terminal.terminal = true;
  Session terminal(
      containerd().CtrCommand(RunArguments("t", {"/bin/sh"}, {"--rm", "-t"})),
      with_terminal);
  terminal.Write("x=0; echo here-$((x += 1))\r");
  REQUIRE(terminal.ReadUntil("here-1"));
  Session exec(containerd().CtrCommand(ExecArguments(
      "c", "e",
      {"/bin/sh", "-c",
       "echo ready; while read -r x; do echo got $x; done; exit 8"})));
  REQUIRE(exec.ReadUntil("ready\n"));
  auto shim_of_c = Shim("c");
  const uint32_t wait = SendWait(shim_of_c.get(), "c");
  GrpcClient grpc(containerd().shim_socket("c"));
  REQUIRE(TaskClient(&grpc).State("c").ok());
  uint32_t grpc_waited = 0;
  std::thread grpc_wait([&] {
    GrpcClient client(containerd().shim_socket("c"));
    grpc_waited = TaskClient(&client).Wait("c").value.exit_status();
  });

  KillHead("c");
  if (with_upgrades) Upgrade("hydra-monitor-next-memcheck");
  exec.Write("one\n");
  CHECK(exec.ReadUntil("got one\n"));
  terminal.SetWindowSize(50, 132);
  terminal.Write("echo here-$((x += 1))\r");
  CHECK(terminal.ReadUntil("here-2"));
  AwaitRest("c");
  AwaitRest("t");
  if (with_upgrades) Upgrade("hydra-monitor-memcheck");
  CHECK(kill(monitor_pid, SIGUSR1) == 0);
  CHECK(kill(monitor_pid, SIGTERM) == 0);
  CHECK(Exec("c", "e2", {"/bin/sh", "-c", "echo out; exit 3"}).status == 3);
  CHECK(Exec("c", "e3", {"/bin/missing"}).status != 0);
  CHECK(TaskClient(&grpc).State("c").ok());
  KillHead("t");

  CHECK(lines.ReadUntil("000000000262143\n"));
  CHECK(lines.data().size() == kBytes);
  exec.CloseInput();
  CHECK(exec.Wait() == 8);
  terminal.Write("exit 5\r");
  CHECK(terminal.Wait() == 5);
  CHECK(fs::read_symlink(exe).filename().string().rfind("memcheck", 0) == 0);
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  CHECK(shim_of_c->Await(wait).code == Code::kOk);
  grpc_wait.join();
  CHECK(grpc_waited == 137);
  RemoveAll();
  CHECK(Eventually([&] { return containerd().Leftovers().empty(); }));
}

// `monitors` of them have come to their end.
void MemcheckTest::CheckReports(size_t monitors) const {
  size_t ended = 0;
  size_t replaced = 0;
  for (const std::string& report : Reports()) {
    INFO(report);
    CHECK(report.find("Command: ") != std::string::npos);
    CHECK(report.find("error{") == std::string::npos);
    CHECK(report.find("Process terminating") == std::string::npos);
    const bool at_end = report.find("ERROR SUMMARY: ") != std::string::npos;
    if (at_end) {
      CHECK(report.find("ERROR SUMMARY: 0 errors") != std::string::npos);
    }
    // The trial of an upgrade is for reading what it is given, and no more.
    if (report.find("--check-state") != std::string::npos) continue;
    ++(at_end ? ended : replaced);
    if (at_end) {
      CHECK(report.find("FILE DESCRIPTORS: 3 open (3 std) at exit") !=
            std::string::npos);
      CHECK(report.find("no leaks are possible") != std::string::npos);
    }
  }
  CHECK(ended == monitors);
  CHECK(replaced == upgrades_ * monitors);
}

TEST_CASE_METHOD(MemcheckTest, "A monitor lives without an error",
                 "[memcheck][slow][hydra]") {
  if (!CanRun()) HYDRA_SKIP("no valgrind, or no monitor for it");
  Live(false);
  CheckReports(2);
}

TEST_CASE_METHOD(MemcheckTest, "A monitor is upgraded without an error",
                 "[memcheck][slow][upgrade][hydra]") {
  if (!CanRun()) HYDRA_SKIP("no valgrind, or no monitor for it");
  Live(true);
  CheckReports(2);
}

}  // namespace
}  // namespace hydra::testing
