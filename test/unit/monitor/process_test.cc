// Claimed processes: adoption, exits that come before the claim, and the exit
// file.

#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "shim/monitor/exit_file.h"
#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Operation;
using link::Type;

// Runs a script that leaves a process behind, as a runtime does, and returns
// the process's pid. It runs `body` once the script has ended: before that, the
// shell might reap it.
pid_t LeaveBehind(FakeHead& head, uint64_t token, uint32_t step,
                  const std::string& body,
                  uint32_t flags = link::kSpawnAdopts) {
  Pipe out = MakePipe();
  Pipe gate = MakePipe();
  head.Shell(token, step,
             "sh -c 'read x <&3; " + body + "' >/dev/null 2>&1 & echo $!",
             flags, {{out.write.get(), 1}, {gate.read.get(), 3}});
  out.write.Reset();
  const pid_t pid = std::stoi(ReadBytes(out.read.get(), 32));
  CHECK(head.Expect(Type::kOperation).Body<Operation>().error == 0);
  head.Expect(Type::kExit);
  return pid;
}

bool IsGone(pid_t pid) { return kill(pid, 0) < 0 && errno == ESRCH; }

std::vector<ExitRecord> ReadExits(const MonitorFixture& monitor) {
  ExitFileContents contents;
  const int error = ReadExitFile(monitor.path("exits").c_str(), &contents);
  if (error != 0 && error != ENOENT) FAIL("exit file: " << error);
  CHECK(contents.damaged_slots == 0);
  return contents.records;
}

TEST_CASE("The exit of a claimed process is on file when it is told",
          "[monitor][process]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const pid_t pid = LeaveBehind(*head, 1, 1, "exec sleep 100");
  head->Claim(10, pid);
  CHECK(head->IsQuiet());
  CHECK(ReadExits(monitor).empty());
  head->SignalProcess(2, 1, 10, SIGKILL);
  CHECK(head->Expect(Type::kOperation).Body<Operation>().error == 0);
  const auto exit = head->Expect(Type::kExit).Body<link::Exit>();
  CHECK(exit.process == 10);
  CHECK(exit.pid == pid);
  CHECK(WTERMSIG(exit.wait_status) == SIGKILL);
  const std::vector<ExitRecord> records = ReadExits(monitor);
  REQUIRE(records.size() == 1);
  CHECK(records[0].process == 10);
  CHECK(records[0].pid == pid);
  CHECK(records[0].wait_status == exit.wait_status);
  CHECK(records[0].exited_at == exit.exited_at);
  head->SignalProcess(2, 2, 10, SIGKILL);
  CHECK(head->Expect(Type::kOperation).Body<Operation>().error == ESRCH);
}

TEST_CASE("An exit is told to every head until it is forgotten",
          "[monitor][process][replay]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const pid_t alive = LeaveBehind(*head, 1, 1, "exec sleep 100");
  head->Claim(1, alive);
  const pid_t dead = LeaveBehind(*head, 1, 2, "exit 7");
  head->Claim(2, dead);
  head->Expect(Type::kExit);
  head->Send(Type::kForgetToken, 1);
  for (int i = 0; i < 2; ++i) {
    head->Kill();
    head = monitor.AcceptHead();
    const std::vector<Message> known = head->Hello();
    REQUIRE(known.size() == 4);
    CHECK(known[1].type() == Type::kProcess);
    CHECK(known[1].Body<link::Process>().process == 1);
    CHECK(known[1].Body<link::Process>().pid == alive);
    CHECK(known[1].Body<link::Process>().exited == 0);
    CHECK(known[2].type() == Type::kProcess);
    CHECK(known[2].Body<link::Process>().exited == 1);
    CHECK(known[3].type() == Type::kExit);
    CHECK(WEXITSTATUS(known[3].Body<link::Exit>().wait_status) == 7);
  }
  // A claim that is known is no new one.
  head->Claim(2, dead);
  CHECK(head->Expect(Type::kExit).Body<link::Exit>().process == 2);
  head->Send(Type::kForgetProcess, 0, 0, link::Process{2, 0, 0});
  head->Kill();
  CHECK(monitor.AcceptHead()->Hello().size() == 2);
  CHECK(ReadExits(monitor).empty());
}

TEST_CASE("An exit before the claim is kept while an operation adopts",
          "[monitor][process]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const pid_t pid = LeaveBehind(*head, 1, 1, "exit 9");
  REQUIRE(Eventually([&] { return IsGone(pid); }));
  head->Kill();
  // It is kept across heads, too.
  auto next = monitor.AcceptReadyHead();
  next->Claim(10, pid);
  const auto exit = next->Expect(Type::kExit).Body<link::Exit>();
  CHECK(exit.process == 10);
  CHECK(WEXITSTATUS(exit.wait_status) == 9);
  CHECK(exit.exited_at > 0);
  CHECK(ReadExits(monitor).size() == 1);
}

TEST_CASE("A claim of what is no child, or was nobody's, says so",
          "[monitor][process]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  auto no_child = [&](uint64_t process, pid_t pid) {
    head->Claim(process, pid);
    const auto exit = head->Expect(Type::kExit).Body<link::Exit>();
    CHECK(exit.process == process);
    return exit.wait_status == link::kNoSuchChild;
  };
  CHECK(no_child(1, 1));
  CHECK(no_child(2, 0));
  CHECK(no_child(3, -1));
  CHECK(no_child(4, monitor.pid()));
  // Without an operation that adopts, nothing is kept.
  const pid_t pid = LeaveBehind(*head, 1, 1, "exit 9", 0);
  REQUIRE(Eventually([&] { return IsGone(pid); }));
  CHECK(no_child(5, pid));
  // And what was kept goes with the operation.
  const pid_t other = LeaveBehind(*head, 1, 2, "exit 9");
  REQUIRE(Eventually([&] { return IsGone(other); }));
  head->Send(Type::kForgetToken, 1);
  CHECK(no_child(6, other));
  CHECK(ReadExits(monitor).empty());
}

TEST_CASE("Exits while no head is there are told to the next one",
          "[monitor][process][replay]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const pid_t pid = LeaveBehind(*head, 1, 1, "exit 4");
  REQUIRE(Eventually([&] { return IsGone(pid); }));
  const pid_t sleeper = LeaveBehind(*head, 1, 2, "exec sleep 100");
  head->Claim(1, sleeper);
  CHECK(head->IsQuiet());
  head->Kill();
  auto next = monitor.AcceptHead();
  REQUIRE(kill(sleeper, SIGTERM) == 0);
  REQUIRE(Eventually([&] { return !ReadExits(monitor).empty(); }));
  const std::vector<Message> known = next->Hello();
  REQUIRE(known.size() == 1 + 2 + 2 + 2);
  CHECK(known[5].type() == Type::kProcess);
  CHECK(WTERMSIG(known[6].Body<link::Exit>().wait_status) == SIGTERM);
}

TEST_CASE("Slots of the exit file are used again", "[monitor][process]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  for (uint64_t process = 1; process <= 20; ++process) {
    head->Claim(process, LeaveBehind(*head, process, 1, "exit 1"));
    CHECK(head->Expect(Type::kExit).Body<link::Exit>().process == process);
    head->Send(Type::kForgetToken, process);
    head->Send(Type::kForgetProcess, 0, 0, link::Process{process, 0, 0});
  }
  head->Shell(100, 1, "exit 0");
  head->Expect(Type::kOperation);
  CHECK(std::filesystem::file_size(monitor.path("exits")) == 2 * 64);
  CHECK(ReadExits(monitor).empty());
}

TEST_CASE("A full disk does not keep an exit from being told",
          "[monitor][process]") {
  MonitorFixture monitor;
  // Stands in the place of the file, so that it cannot be opened.
  std::filesystem::create_directory(monitor.path("exits"));
  auto head = monitor.AcceptReadyHead();
  head->Claim(1, LeaveBehind(*head, 1, 1, "exit 6"));
  const auto exit = head->Expect(Type::kExit).Body<link::Exit>();
  CHECK(WEXITSTATUS(exit.wait_status) == 6);
  CHECK(monitor.Log().find("EISDIR") != std::string::npos);
}

}  // namespace
}  // namespace hydra::monitor
