// Engine connections: whose they are, what they speak, and their bounds.

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shim/ttrpc/frame.h"
#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Type;

TEST_CASE("A client that does not read is not read from either",
          "[monitor][request][bounds]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client greedy = monitor.Connect();
  std::vector<uint64_t> tokens;
  for (uint32_t i = 0; i < 12; ++i) {
    tokens.push_back(
        monitor.Deliver(greedy, *head, 2 * i + 1, "x").header.token);
  }
  for (uint64_t token : tokens) {
    head->Respond(token, std::string(1 << 20, 'r'));
  }
  greedy.Send(101, "not read yet");
  CHECK(head->IsQuiet(100));
  Client other = monitor.Connect();
  const Message m = monitor.Deliver(other, *head, 1, "lively");
  head->Respond(m.header.token, "ok");
  CHECK(other.Receive().payload == "ok");
  for (int i = 0; i < 12; ++i)
    CHECK(greedy.Receive().payload.size() == 1 << 20);
  CHECK(head->Expect(Type::kRequest).tail() == "not read yet");
}

TEST_CASE("A connection has at most 4096 unanswered requests",
          "[monitor][request][bounds]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  std::string frames;
  for (uint32_t i = 0; i < 8000; ++i) {
    frames += MakeFrame(2 * i + 1, std::string(100, 'r'));
  }
  // 880 kB, of which the socket takes what the monitor does not.
  size_t sent = 0;
  std::vector<uint64_t> tokens;
  while (tokens.size() < 8000) {
    if (sent < frames.size()) {
      const ssize_t n = send(client.fd.get(), frames.data() + sent,
                             frames.size() - sent, MSG_DONTWAIT);
      if (n > 0) sent += static_cast<size_t>(n);
    }
    Message message;
    if (head->reader.Next(head->link.get(), &message) ==
        link::Reader::Result::kMessage) {
      tokens.push_back(message.header.token);
      continue;
    }
    if (Ready(head->link.get(), POLLIN, 200)) continue;
    // It stopped: not before the bound, and not much behind it.
    if (tokens.size() < 8000) {
      CHECK(tokens.size() >= 4096);
      CHECK(tokens.size() < 4096 + 200);
      break;
    }
  }
  for (uint64_t token : tokens) head->Respond(token, "");
  for (size_t i = 0; i < tokens.size(); ++i) client.Receive();
  if (sent < frames.size()) client.SendRaw(frames.substr(sent));
  for (size_t i = tokens.size(); i < 8000; ++i) head->Expect(Type::kRequest);
}

TEST_CASE("Many connections are served at once", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(monitor.Connect());
    clients.back().Send(1, std::to_string(i));
  }
  for (int i = 0; i < 200; ++i) {
    const Message message = head->Expect(Type::kRequest);
    head->Respond(message.header.token, "re " + std::string(message.tail()));
  }
  for (int i = 0; i < 200; ++i) {
    CHECK(clients[static_cast<size_t>(i)].Receive().payload ==
          "re " + std::to_string(i));
  }
}

TEST_CASE("A gRPC connection is another process's", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  CHECK(monitor.Children().size() == 1);
  const int fds = monitor.FdCount();
  Client client = monitor.Connect();
  client.SendRaw("PR");
  client.SendRaw("I * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  // SETTINGS, which HTTP/2 begins with.
  CHECK(ReadBytes(client.fd.get(), 9).at(3) == 4);
  REQUIRE(monitor.Children().size() == 2);
  // Our link, and its connection: the client's own is not here any more.
  CHECK(monitor.FdCount() == fds + 2);
  CHECK(head->IsQuiet(100));
  const pid_t grpc = monitor.Children().back();
  SECTION("which takes the next one too") {
    Client other = monitor.Connect();
    other.SendRaw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    CHECK(ReadBytes(other.fd.get(), 9).at(3) == 4);
    CHECK(monitor.Children().size() == 2);
  }
  SECTION("and if it dies there is another for the next") {
    REQUIRE(kill(grpc, SIGKILL) == 0);
    CHECK(Eventually([&] { return monitor.Children().size() == 1; }));
    CHECK(monitor.FdCount() == fds);
    Client other = monitor.Connect();
    other.SendRaw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    CHECK(ReadBytes(other.fd.get(), 9).at(3) == 4);
    CHECK(monitor.Children().back() != grpc);
  }
  SECTION("which ends with the monitor") {
    head->Send(Type::kQuit);
    CHECK(Eventually([&] { return kill(grpc, 0) != 0; }));
  }
}

TEST_CASE("A request whose client has given it up is dropped",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const uint64_t token = monitor.Deliver(client, *head, 1, "wait").header.token;
  const uint64_t other = monitor.Deliver(client, *head, 3, "too").header.token;
  client.SendRaw(ttrpc::EncodeFrame(1, ttrpc::kCancel, ""));
  CHECK(head->Expect(Type::kCancelled).header.token == token);
  // A stream that has no request, or had one.
  client.SendRaw(ttrpc::EncodeFrame(1, ttrpc::kCancel, ""));
  client.SendRaw(ttrpc::EncodeFrame(99, ttrpc::kCancel, ""));
  CHECK(head->IsQuiet());
  head->Respond(token, "nobody waits");
  head->Respond(other, "somebody does");
  CHECK(client.Receive().payload == "somebody does");
  head->Kill();
  head = monitor.AcceptReadyHead();
  CHECK(head->IsQuiet());
}

TEST_CASE("Half a preface costs nothing", "[monitor][request][idle]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  client.SendRaw("PR");
  Client other = monitor.Connect();
  monitor.Deliver(other, *head, 1, "x");
  CHECK(head->IsQuiet(300));
  CHECK(monitor.ComesToRest());
  const int fds = monitor.FdCount();
  client.fd.Reset();
  CHECK(Eventually([&] { return monitor.FdCount() == fds - 1; }));
}

TEST_CASE("Only root and its own user are served", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  REQUIRE(chmod(monitor.path("").c_str(), 0755) == 0);
  REQUIRE(chmod(monitor.socket_path().c_str(), 0666) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    if (setresuid(65534, 65534, 65534) < 0) _exit(2);
    // Closed unheard: reading ends at once.
    Client client = monitor.Connect();
    char c;
    _exit(read(client.fd.get(), &c, 1) == 0 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(monitor.Log().find("connection of uid 65534") != std::string::npos);
}

TEST_CASE("Out of descriptors, connections are shed and the rest goes on",
          "[monitor][request][bounds]") {
  MonitorFixture::Options options;
  options.file_limit = 24;
  MonitorFixture monitor(options);
  auto head = monitor.AcceptReadyHead();
  Client first = monitor.Connect();
  monitor.Deliver(first, *head, 1, "before");
  const int fds = monitor.FdCount();
  std::vector<Client> crowd;
  for (int i = 0; i < 40; ++i) crowd.push_back(monitor.Connect());
  // The last ones are closed rather than left waiting.
  CHECK(ReadBytes(crowd.back().fd.get(), 1).empty());
  monitor.Deliver(first, *head, 3, "during");
  CHECK(head->IsQuiet(200));
  CHECK(monitor.ComesToRest());
  crowd.clear();
  REQUIRE(Eventually([&] { return monitor.FdCount() == fds; }));
  Client after = monitor.Connect();
  monitor.Deliver(after, *head, 1, "after");
}

}  // namespace
}  // namespace hydra::monitor
