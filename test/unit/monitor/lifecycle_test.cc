// The monitor as a process: start, signals, heads that die, quit, and what is
// left behind.

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using Clock = std::chrono::steady_clock;
using link::Message;
using link::Type;

TEST_CASE("Without a head to execute, the start says why",
          "[monitor][lifecycle]") {
  MonitorFixture::Options options;
  options.head = "/no/such/head";
  options.expect_failure = true;
  MonitorFixture monitor(options);
  CHECK(monitor.ready() == "hydra-monitor: /no/such/head: ENOENT");
  CHECK(WEXITSTATUS(monitor.WaitForEnd()) == 1);
}

TEST_CASE("Signals do not end it", "[monitor][lifecycle]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  for (int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR2,
                     SIGALRM, SIGRTMIN + 3}) {
    REQUIRE(kill(monitor.pid(), signal) == 0);
  }
  REQUIRE(kill(monitor.pid(), SIGUSR1) == 0);
  for (const std::string& line : {"head pid " + std::to_string(head->pid),
                                  std::string("signal 15 from pid")}) {
    CHECK(Eventually(
        [&] { return monitor.Log().find(line) != std::string::npos; }));
  }
  Client client = monitor.Connect();
  monitor.Deliver(client, *head, 1, "alive");
}

TEST_CASE("It leads a session, adopts orphans and has its name",
          "[monitor][lifecycle]") {
  MonitorFixture monitor;
  CHECK(getsid(monitor.pid()) == monitor.pid());
  auto head = monitor.AcceptReadyHead();
  CHECK(getsid(head->pid) == head->pid);
  const UniqueFd comm(open(
      ("/proc/" + std::to_string(monitor.pid()) + "/comm").c_str(), O_RDONLY));
  if (getenv("HYDRA_TEST_WRAPPER") == nullptr) {
    CHECK(ReadBytes(comm.get(), 64) == "hydra-monitor\n");
  }
}

TEST_CASE("A head that was started before it is its first", "[monitor][head]") {
  MonitorFixture::Options options;
  options.starts_with_head = true;
  MonitorFixture monitor(options);
  auto head = monitor.AcceptHead();
  CHECK(monitor.Children() == std::vector<pid_t>{head->pid});
  CHECK(head->Hello()[0].Body<link::Welcome>().generation == 1);
  Client client = monitor.Connect();
  const Message message = monitor.Deliver(client, *head, 1, "hello");
  head->writer.Add(Type::kResponse, message.header.token, 0, "hello yourself");
  head->Flush();
  CHECK(client.Receive().payload == "hello yourself");
  head->Kill();
  auto next = monitor.AcceptHead();
  CHECK(next->Hello()[0].Body<link::Welcome>().generation == 2);
}

TEST_CASE("One that has ended before it is replaced", "[monitor][head]") {
  MonitorFixture::Options options;
  options.head = "/bin/false";
  options.starts_with_head = true;
  MonitorFixture monitor(options);
  CHECK(Eventually([&] {
    const std::string log = monitor.Log();
    const size_t first = log.find("ended with status 1");
    return first != std::string::npos &&
           log.find("ended with status 1", first + 1) != std::string::npos;
  }));
}

TEST_CASE("A head that lived is replaced at once", "[monitor][head]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  CHECK(head->IsQuiet(1100));
  const auto start = Clock::now();
  head->Kill();
  CHECK(monitor.HeadComes(kPatience));
  CHECK(Clock::now() - start < std::chrono::milliseconds(500));
}

TEST_CASE("A head that keeps dying is started ever more slowly",
          "[monitor][head]") {
  MonitorFixture::Options options;
  options.head = "/bin/false";
  MonitorFixture monitor(options);
  auto deaths = [&] {
    const std::string log = monitor.Log();
    size_t count = 0;
    for (size_t at = log.find("ended with"); at != log.npos;
         at = log.find("ended with", at + 1)) {
      ++count;
    }
    return count;
  };
  CHECK(Eventually([&] { return deaths() >= 6; }));
  // 10 + 20 + … + 640 ms, then one a second.
  std::this_thread::sleep_for(std::chrono::seconds(2));
  CHECK(deaths() >= 6);
  CHECK(deaths() <= 11);
  CHECK(monitor.IsAlive());
}

TEST_CASE("A head that closes the link is killed and replaced",
          "[monitor][head]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  head->link.Reset();
  auto next = monitor.AcceptHead();
  CHECK(next->pid != head->pid);
  CHECK((kill(head->pid, 0) < 0 && errno == ESRCH));
  CHECK(next->Hello()[0].Body<link::Welcome>().generation == 2);
}

TEST_CASE("A head that talks nonsense is killed and replaced",
          "[monitor][head]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptHead();
  SECTION("before kHello") { head->Send(Type::kForgetToken, 1); }
  SECTION("kHello twice") {
    head->Hello();
    head->Send(Type::kHello, 0, 0, link::Hello{1, head->pid});
  }
  SECTION("a length that cannot be") {
    link::Header header = {};
    header.length = link::kMaxMessage + 1;
    WriteBytes(head->link.get(),
               std::string_view(reinterpret_cast<const char*>(&header),
                                sizeof(header)));
  }
  SECTION("a descriptor that is not there") {
    link::Header header = {};
    header.fd_count = 1;
    WriteBytes(head->link.get(),
               std::string_view(reinterpret_cast<const char*>(&header),
                                sizeof(header)));
  }
  CHECK(head->SeesEnd());
  CHECK(monitor.AcceptReadyHead()->pid != head->pid);
}

TEST_CASE("A message of a later release is ignored", "[monitor][head]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  head->Send(static_cast<Type>(200), 1);
  Client client = monitor.Connect();
  monitor.Deliver(client, *head, 1, "still here");
}

TEST_CASE("The replay is in the order of the contract",
          "[monitor][head][replay]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message request = monitor.Deliver(client, *head, 1, "request");
  Pipe stored = MakePipe();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  head->Send(Type::kStore, 77, 0, link::StreamRef{0}, {},
             {stored.read.get(), stored.write.get()});
  head->StreamAdd(5, link::StreamKind::kOutput, 0,
                  {source.read.get(), sink.write.get()});
  head->Shell(request.header.token, 1, "sleep 100 & echo $! >pid; exit 1",
              link::kSpawnAdopts);
  head->Expect(Type::kOperation);
  head->Expect(Type::kExit);
  const UniqueFd pid_file(open(monitor.path("pid").c_str(), O_RDONLY));
  head->Claim(3, std::stoi(ReadBytes(pid_file.get(), 32)));
  CHECK(head->IsQuiet());
  head->Kill();

  auto next = monitor.AcceptHead();
  const std::vector<Message> known = next->Hello();
  std::vector<Type> types;
  for (const Message& message : known) types.push_back(message.type());
  CHECK(types == std::vector<Type>{Type::kWelcome, Type::kOperation,
                                   Type::kExit, Type::kProcess, Type::kStream,
                                   Type::kStored});
  CHECK(known[4].Body<link::StreamState>().stream == 5);
  CHECK(known[5].header.token == 77);
  REQUIRE(known[5].fds.size() == 2);
  WriteBytes(known[5].fds[1].get(), "mine");
  CHECK(ReadBytes(stored.read.get(), 4) == "mine");
  CHECK(next->Expect(Type::kRequest).header.token == request.header.token);
}

TEST_CASE("A stored name keeps what it has until it is unstored",
          "[monitor][head]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe first = MakePipe();
  Pipe second = MakePipe();
  auto store = [&](int fd) {
    head->Send(Type::kStore, 1, 0, link::StreamRef{0}, {}, {fd});
  };
  store(first.write.get());
  store(second.write.get());
  second.write.Reset();
  CHECK(ReadBytes(second.read.get(), 1).empty());
  first.write.Reset();
  head->Send(Type::kUnstore, 1);
  CHECK(ReadBytes(first.read.get(), 1).empty());
}

TEST_CASE("The listener closes and its path goes", "[monitor][lifecycle]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  head->Send(Type::kCloseListener);
  head->Expect(Type::kListenerClosed);
  CHECK_FALSE(std::filesystem::exists(monitor.socket_path()));
  head->Send(Type::kCloseListener);
  head->Expect(Type::kListenerClosed);
  monitor.Deliver(client, *head, 1, "still connected");
}

TEST_CASE("It quits with its answers sent and nothing left behind",
          "[monitor][lifecycle]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message message = monitor.Deliver(client, *head, 1, "shutdown");
  head->Shell(1, 5, "exit 0");
  head->Claim(1, head->Expect(Type::kOperation).Body<link::Operation>().pid);
  head->Expect(Type::kExit);
  const std::string large(3 << 20, 'z');
  head->writer.Add(Type::kResponse, message.header.token, 0, large);
  head->writer.Add(Type::kQuit);
  head->Flush();
  CHECK(client.Receive().payload == large);
  CHECK(monitor.WaitForEnd() == 0);
  CHECK_FALSE(std::filesystem::exists(monitor.path("exits")));
  CHECK_FALSE(std::filesystem::exists(monitor.socket_path()));
  CHECK(head->SeesEnd());
}

// It read the link's end again and again until the head was gone.
TEST_CASE("Waiting for the end of its head costs nothing",
          "[monitor][lifecycle]") {
  MonitorFixture::Options options;
  // For the sake of a cgroup it stays longer than its head.
  options.arguments = {"--cgroup", "/no/such/cgroup"};
  MonitorFixture monitor(options);
  auto head = monitor.AcceptReadyHead();
  head->writer.Add(Type::kQuit);
  head->Flush();
  head->link.Reset();
  const auto before = monitor.ProcessorTime();
  // Not for something to happen: this is what is measured.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(monitor.ProcessorTime() - before <= std::chrono::milliseconds(50));
  CHECK(monitor.IsAlive());
  head->Kill();
  CHECK(monitor.WaitForEnd() == 0);
}

TEST_CASE("Quitting does not wait for a client that does not read",
          "[monitor][lifecycle]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message message = monitor.Deliver(client, *head, 1, "shutdown");
  head->writer.Add(Type::kResponse, message.header.token, 0,
                   std::string(3 << 20, 'z'));
  head->writer.Add(Type::kQuit);
  head->Flush();
  const auto start = Clock::now();
  CHECK(monitor.WaitForEnd() == 0);
  CHECK(Clock::now() - start > std::chrono::milliseconds(900));
  CHECK(Clock::now() - start < std::chrono::seconds(8));
}

TEST_CASE("A thousand operations leave no descriptor and no memory behind",
          "[monitor][lifecycle][census]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  auto operate = [&](uint32_t stream_id) {
    const Message message = monitor.Deliver(client, *head, stream_id, "exec");
    const uint64_t token = message.header.token;
    Pipe out = MakePipe();
    head->Spawn(token, 1, {"/bin/true"},
                link::kSpawnKeepsFd | link::kSpawnAdopts,
                {{out.write.get(), 1}, {out.read.get(), -1}});
    head->Expect(Type::kOperation);
    head->Expect(Type::kExit);
    Pipe sink = MakePipe();
    head->StreamAdd(token, link::StreamKind::kOutput, 0,
                    {out.read.get(), sink.write.get()});
    out.write.Reset();
    head->Expect(Type::kStream);
    head->StreamRef(Type::kStreamClose, token);
    head->Respond(token, "done");
    CHECK(client.Receive().payload == "done");
  };
  uint32_t stream_id = 1;
  auto run = [&](int times) {
    for (int i = 0; i < times; ++i, stream_id += 2) operate(stream_id);
  };
  auto resident_pages = [&] {
    const UniqueFd statm(
        open(("/proc/" + std::to_string(monitor.pid()) + "/statm").c_str(),
             O_RDONLY));
    const std::string text = ReadBytes(statm.get(), 256);
    return std::stol(text.substr(text.find(' ')));
  };
  run(100);
  const int fds = monitor.FdCount();
  [[maybe_unused]] const long pages = resident_pages();
  run(1000);
  CHECK(monitor.FdCount() == fds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (getenv("HYDRA_TEST_WRAPPER") == nullptr) {
    CHECK(resident_pages() <= pages + 4);
  }
#endif
}

}  // namespace
}  // namespace hydra::monitor
