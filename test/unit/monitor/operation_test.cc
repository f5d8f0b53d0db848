// kSpawn and kSignal: done once, remembered, replayed; and what a child gets.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Operation;
using link::Type;

std::string ReadAll(int fd) { return ReadBytes(fd, 1 << 20); }

TEST_CASE("A spawn reports its pid and then its exit", "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  head->Shell(7, 1, "exit 3");
  const Message started = head->Expect(Type::kOperation);
  CHECK(started.header.token == 7);
  CHECK(started.header.step == 1);
  const auto operation = started.Body<Operation>();
  CHECK(operation.kind == static_cast<uint32_t>(link::OperationKind::kSpawn));
  CHECK(operation.error == 0);
  CHECK(operation.pid > 0);
  CHECK(operation.exited == 0);
  const Message ended = head->Expect(Type::kExit);
  CHECK(ended.header.token == 7);
  CHECK(ended.header.step == 1);
  const auto exit = ended.Body<link::Exit>();
  CHECK(exit.process == 0);
  CHECK(exit.pid == operation.pid);
  CHECK(WEXITSTATUS(exit.wait_status) == 3);
  CHECK(exit.exited_at > 1'600'000'000'000'000'000);
}

TEST_CASE("A spawn runs once, whoever asks and how often",
          "[monitor][spawn][replay]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const std::string script = "echo x >> " + monitor.path("count") + "; exit 5";
  head->Shell(1, 1, script);
  const auto first = head->Expect(Type::kOperation).Body<Operation>();
  head->Expect(Type::kExit);
  head->Shell(1, 1, script);
  const auto again = head->Expect(Type::kOperation).Body<Operation>();
  CHECK(again.pid == first.pid);
  CHECK(again.exited == 1);
  CHECK(WEXITSTATUS(head->Expect(Type::kExit).Body<link::Exit>().wait_status) ==
        5);
  head->Kill();

  auto next = monitor.AcceptHead();
  const std::vector<Message> known = next->Hello();
  REQUIRE(known.size() == 3);
  CHECK(known[1].type() == Type::kOperation);
  CHECK(known[1].Body<Operation>().pid == first.pid);
  CHECK(known[1].Body<Operation>().exited == 1);
  CHECK(known[2].type() == Type::kExit);
  next->Shell(1, 1, script);
  CHECK(next->Expect(Type::kOperation).Body<Operation>().pid == first.pid);
  next->Expect(Type::kExit);
  const UniqueFd count(open(monitor.path("count").c_str(), O_RDONLY));
  CHECK(ReadAll(count.get()) == "x\n");

  next->Send(Type::kForgetToken, 1);
  next->Shell(1, 1, script);
  CHECK(next->Expect(Type::kOperation).Body<Operation>().pid != first.pid);
}

TEST_CASE("A program that cannot be executed is an errno, not an exit",
          "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  auto error = [&](const std::vector<std::string>& argv, uint32_t step) {
    head->Spawn(1, step, argv, link::kSpawnAdopts);
    const auto operation = head->Expect(Type::kOperation).Body<Operation>();
    CHECK(operation.pid == 0);
    return operation.error;
  };
  CHECK(error({"/no/such/program"}, 1) == ENOENT);
  CHECK(error({"no-such-program"}, 2) == ENOENT);
  CHECK(error({"/etc/passwd"}, 3) == EACCES);
  CHECK(error({}, 4) == EINVAL);
  head->Kill();
  auto next = monitor.AcceptHead();
  CHECK(next->Hello().size() == 1 + 4);
  CHECK(next->IsQuiet());
}

TEST_CASE("PATH is the child's own", "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  head->Spawn(1, 1, {"true"}, 0, {}, {"PATH=/nowhere"});
  CHECK(head->Expect(Type::kOperation).Body<Operation>().error == ENOENT);
  head->Spawn(1, 2, {"true"}, 0, {}, {"PATH=/nowhere:/usr/bin:/bin"});
  CHECK(head->Expect(Type::kOperation).Body<Operation>().error == 0);
  head->Expect(Type::kExit);
  head->Spawn(1, 3, {"true"}, link::kSpawnInheritsEnv);
  CHECK(head->Expect(Type::kOperation).Body<Operation>().error == 0);
}

TEST_CASE("A spawn that makes no sense is EINVAL", "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  auto error = [&](uint32_t step, const link::Spawn& body,
                   std::string_view tail, const std::vector<int>& fds) {
    head->Send(Type::kSpawn, 1, step, body, tail, fds);
    return head->Expect(Type::kOperation).Body<Operation>().error;
  };
  using namespace std::string_view_literals;
  link::Spawn body = {};
  body.arg_count = 2;
  CHECK(error(1, body, "true\0"sv, {}) == EINVAL);
  body.arg_count = 1;
  CHECK(error(2, body, "true"sv, {}) == EINVAL);
  CHECK(error(3, body, "true\0more\0"sv, {}) == EINVAL);
  const Pipe pipe = MakePipe();
  body.fd_target[0] = 100'000;
  CHECK(error(4, body, "true\0"sv, {pipe.read.get()}) == EINVAL);
}

TEST_CASE("The environment is what was given", "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe out = MakePipe();
  head->Spawn(1, 1, {"/usr/bin/env"}, 0, {{out.write.get(), 1}},
              {"A=1", "B=two words"});
  Pipe inherited = MakePipe();
  head->Spawn(1, 2, {"/usr/bin/env"}, link::kSpawnInheritsEnv,
              {{inherited.write.get(), 1}});
  out.write.Reset();
  inherited.write.Reset();
  CHECK(ReadAll(out.read.get()) == "A=1\nB=two words\n");
  const std::string env = ReadAll(inherited.read.get());
  CHECK(env.find("PATH=") != env.npos);
  // The engine's, and nobody else's.
  CHECK(env.find("NOTIFY_SOCKET") == env.npos);
}

TEST_CASE("A child has the descriptors it was given, and no other",
          "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe out = MakePipe();
  Pipe nine = MakePipe();
  const std::string script =
      "for f in /proc/self/fd/*; do echo ${f##*/}=$(readlink $f); done; "
      "echo nine >&9";
  head->Spawn(
      1, 1, {"/bin/bash", "-c", script}, 0,
      {{out.write.get(), 1}, {nine.write.get(), 9}, {nine.read.get(), -1}});
  out.write.Reset();
  nine.write.Reset();
  const std::string fds = ReadAll(out.read.get());
  CHECK(fds.find("0=/dev/null\n") != fds.npos);
  CHECK(fds.find("1=pipe:") != fds.npos);
  CHECK(fds.find("2=/dev/null\n") != fds.npos);
  CHECK(fds.find("9=pipe:") != fds.npos);
  // Those, and the directory that bash reads.
  CHECK(std::count(fds.begin(), fds.end(), '\n') <= 5);
  CHECK(ReadAll(nine.read.get()) == "nine\n");
}

TEST_CASE("Targets may be the monitor's own descriptor numbers",
          "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  // Whatever numbers the monitor gets for them, some cross over.
  std::vector<Pipe> pipes;
  std::vector<FakeHead::Fd> fds;
  std::string script;
  for (int i = 0; i < link::kMaxFds; ++i) {
    pipes.push_back(MakePipe());
    const int target = 3 + (link::kMaxFds - 1 - i);
    fds.push_back({pipes.back().write.get(), target});
    script +=
        "echo " + std::to_string(i) + " >&" + std::to_string(target) + "; ";
  }
  head->Spawn(1, 1, {"/bin/bash", "-c", script}, link::kSpawnInheritsEnv, fds);
  for (size_t i = 0; i < pipes.size(); ++i) {
    pipes[i].write.Reset();
    CHECK(ReadAll(pipes[i].read.get()) == std::to_string(i) + "\n");
  }
}

TEST_CASE("A child starts with a session, signals and limits of its own",
          "[monitor][spawn]") {
  MonitorFixture::Options options;
  options.file_limit = 777;
  MonitorFixture monitor(options);
  auto head = monitor.AcceptReadyHead();
  Pipe out = MakePipe();
  head->Spawn(1, 1,
              {"/bin/bash", "-c",
               "grep -E '^Sig(Blk|Ign)' /proc/self/status; "
               "ps -o sid= -p $$ | tr -d ' '; echo $$; ulimit -n"},
              link::kSpawnInheritsEnv, {{out.write.get(), 1}});
  out.write.Reset();
  const auto pid = head->Expect(Type::kOperation).Body<Operation>().pid;
  const std::string id = std::to_string(pid) + "\n";
  CHECK(ReadAll(out.read.get()) ==
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" + id + id +
            "777\n");
}

TEST_CASE("A kept descriptor goes to the next head", "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe out = MakePipe();
  head->Shell(1, 1, "echo output", link::kSpawnKeepsFd,
              {{out.write.get(), 1}, {out.read.get(), -1}});
  const Message started = head->Expect(Type::kOperation);
  CHECK(started.fds.empty());
  head->Expect(Type::kExit);
  out.write.Reset();
  out.read.Reset();
  for (int i = 0; i < 2; ++i) {
    head->Kill();
    head = monitor.AcceptHead();
    const std::vector<Message> known = head->Hello();
    REQUIRE(known.size() == 3);
    REQUIRE(known[1].fds.size() == 1);
    if (i == 1) CHECK(ReadAll(known[1].fds[0].get()) == "output\n");
  }
}

TEST_CASE("A response forgets the token's operations", "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message message = monitor.Deliver(client, *head, 1, "create");
  const uint64_t token = message.header.token;
  head->Shell(token, 1, "exit 0");
  head->Shell(token, 2, "exit 0");
  head->Shell(token | link::kInternalToken, 1, "exit 0");
  for (int i = 0; i < 6; ++i) head->Next();
  head->Respond(token, "done");
  client.Receive();
  head->Kill();
  auto next = monitor.AcceptHead();
  const std::vector<Message> known = next->Hello();
  REQUIRE(known.size() == 3);
  CHECK(known[1].header.token == (token | link::kInternalToken));
}

TEST_CASE("Operations of a cancelled request stay until they are forgotten",
          "[monitor][spawn]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  uint64_t token = 0;
  {
    Client client = monitor.Connect();
    token = monitor.Deliver(client, *head, 1, "create").header.token;
    head->Shell(token, 1, "exit 0");
    head->Expect(Type::kOperation);
    head->Expect(Type::kExit);
  }
  head->Expect(Type::kCancelled);
  head->Kill();
  auto next = monitor.AcceptHead();
  const std::vector<Message> known = next->Hello();
  REQUIRE(known.size() == 3);
  CHECK(known[1].header.token == token);
  CHECK(next->IsQuiet());
  next->Send(Type::kForgetToken, token);
  next->Kill();
  CHECK(monitor.AcceptHead()->Hello().size() == 1);
}

TEST_CASE("A signal is sent once and meets only what lives",
          "[monitor][signal]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  auto error = [&] {
    return head->Expect(Type::kOperation).Body<Operation>().error;
  };
  head->Spawn(1, 1, {"/bin/sleep", "100"});
  CHECK(error() == 0);
  head->SignalSpawn(2, 1, 1, 1, SIGTERM);
  CHECK(error() == 0);
  const auto exit = head->Expect(Type::kExit).Body<link::Exit>();
  CHECK(WTERMSIG(exit.wait_status) == SIGTERM);
  head->SignalSpawn(2, 2, 1, 1, SIGTERM);
  CHECK(error() == ESRCH);
  // The first one is remembered as it was.
  head->SignalSpawn(2, 1, 1, 1, SIGTERM);
  CHECK(error() == 0);
  head->SignalSpawn(2, 3, 9, 9, SIGTERM);
  CHECK(error() == ENOENT);
  head->SignalProcess(2, 4, 55, SIGTERM);
  CHECK(error() == ENOENT);
  head->Spawn(1, 2, {"/bin/sleep", "100"});
  CHECK(error() == 0);
  head->SignalSpawn(2, 5, 1, 2, 4711);
  CHECK(error() == EINVAL);
}

}  // namespace
}  // namespace hydra::monitor
