// Engine connections: frames to requests, responses to frames, and what stays
// when a head goes.

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Type;

TEST_CASE("A request reaches the head and its response the client",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  client.Send(1, "hello", 1, 0x02);
  const Message message = head->Expect(Type::kRequest);
  const auto request = message.Body<link::Request>();
  CHECK(message.header.token == 1);
  CHECK(message.tail() == "hello");
  CHECK(request.stream_id == 1);
  CHECK(request.frame_length == 5);
  CHECK(request.frame_type == 1);
  CHECK(request.frame_flags == 0x02);
  CHECK(request.fault == link::kFrameOk);
  CHECK(request.deaths == 0);
  head->Respond(message.header.token, "world");
  const Response response = client.Receive();
  CHECK(response.stream_id == 1);
  CHECK(response.type == 2);
  CHECK(response.payload == "world");
}

TEST_CASE("Responses may go out in any order, and may be empty",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message first = monitor.Deliver(client, *head, 1, "a");
  const Message second = monitor.Deliver(client, *head, 3, "");
  CHECK(second.header.token > first.header.token);
  head->Respond(second.header.token, "");
  CHECK(client.Receive().stream_id == 3);
  head->Respond(first.header.token, "x");
  CHECK(client.Receive().payload == "x");
}

TEST_CASE("A frame may come byte by byte", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const std::string frames = MakeFrame(1, "one") + MakeFrame(3, "three");
  for (char c : frames) client.SendRaw(std::string_view(&c, 1));
  CHECK(head->Expect(Type::kRequest).tail() == "one");
  CHECK(head->Expect(Type::kRequest).tail() == "three");
}

TEST_CASE("A frame of 4 MiB goes both ways", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  std::string payload(4 << 20, 'p');
  payload.back() = 'q';
  const Message message = monitor.Deliver(client, *head, 1, payload);
  CHECK(message.Body<link::Request>().fault == link::kFrameOk);
  head->Respond(message.header.token, payload);
  CHECK(client.Receive().payload == payload);
}

TEST_CASE("A frame that is too long is skipped and reported",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const uint32_t length = (4 << 20) + 1;
  client.SendRaw(MakeFrame(1, std::string(length, 'x')) + MakeFrame(3, "ok"));
  const Message message = head->Expect(Type::kRequest);
  const auto request = message.Body<link::Request>();
  CHECK(request.fault == link::kFrameTooLong);
  CHECK(request.frame_length == length);
  CHECK(request.stream_id == 1);
  CHECK(message.tail().empty());
  CHECK(head->Expect(Type::kRequest).tail() == "ok");
}

TEST_CASE("Frames that are no requests are faults or ignored",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  auto fault = [&] {
    return head->Expect(Type::kRequest).Body<link::Request>();
  };
  client.Send(5, "good");
  CHECK(fault().fault == link::kFrameOk);
  client.Send(2, "even");
  CHECK(fault().fault == link::kStreamIdEven);
  client.Send(5, "again");
  CHECK(fault().fault == link::kStreamIdReused);
  client.Send(3, "lower");
  CHECK(fault().fault == link::kStreamIdReused);
  client.Send(7, "data", 3);
  const link::Request data = fault();
  CHECK(data.fault == link::kFrameNotRequest);
  CHECK(data.frame_type == 3);
  client.Send(7, "unknown type", 9);
  client.Send(7, "good");
  const link::Request good = fault();
  CHECK(good.fault == link::kFrameOk);
  CHECK(good.stream_id == 7);
}

TEST_CASE("A new head gets the unanswered requests with the same tokens",
          "[monitor][request][replay]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message a = monitor.Deliver(client, *head, 1, "a");
  const Message b = monitor.Deliver(client, *head, 3, "b");
  const Message c = monitor.Deliver(client, *head, 5, "c");
  head->Respond(b.header.token, "answer");
  CHECK(client.Receive().stream_id == 3);
  head->Exit(1);

  auto next = monitor.AcceptHead();
  client.Send(7, "new");
  const std::vector<Message> known = next->Hello();
  REQUIRE(known.size() == 1);
  // All before kSynced: what has not come by then does not come any more.
  CHECK(next->replayed.size() >= 2);
  const auto welcome = known[0].Body<link::Welcome>();
  CHECK(welcome.generation == 2);
  CHECK(welcome.monitor_pid == monitor.pid());
  CHECK(welcome.previous_died_at > 0);
  for (const Message* old : {&a, &c}) {
    const Message again = next->Expect(Type::kRequest);
    CHECK(again.header.token == old->header.token);
    CHECK(again.payload.substr(sizeof(link::Request)) == old->tail());
    CHECK(again.Body<link::Request>().deaths == 1);
  }
  const Message fresh = next->Expect(Type::kRequest);
  CHECK(fresh.tail() == "new");
  CHECK(fresh.Body<link::Request>().deaths == 0);
  next->Respond(a.header.token, "late");
  const Response response = client.Receive();
  CHECK(response.stream_id == 1);
  CHECK(response.payload == "late");
}

TEST_CASE("A poisonous request counts its victims", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  monitor.Deliver(client, *head, 1, "poison");
  for (int deaths = 1; deaths <= link::kMaxAttempts; ++deaths) {
    head->Exit(1);
    head = monitor.AcceptReadyHead();
    const Message again = head->Expect(Type::kRequest);
    CHECK(int{again.Body<link::Request>().deaths} == deaths);
    if (deaths == link::kMaxAttempts) head->Respond(again.header.token, "no");
  }
  CHECK(client.Receive().payload == "no");
}

TEST_CASE("Only a crash is counted against the requests in work",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message message = monitor.Deliver(client, *head, 1, "wait");
  int expected = 0;
  SECTION("not one that leaves of its own will") { head->Exit(0); }
  SECTION("not one that is killed") { head->Kill(); }
  SECTION("not one that only waits with it") {
    head->Send(Type::kParked, message.header.token);
    head->Exit(1);
  }
  SECTION("one that dies of a signal") {
    // Not SIGSEGV, of which a sanitizer would make a report.
    REQUIRE(kill(head->pid, SIGABRT) == 0);
    expected = 1;
  }
  SECTION("one that talks nonsense") {
    head->Send(Type::kHello, 0, 0, link::Hello{1, head->pid});
    expected = 1;
  }
  auto next = monitor.AcceptReadyHead();
  CHECK(next->Expect(Type::kRequest).Body<link::Request>().deaths == expected);
  // Parked is only what this head has parked.
  next->Exit(1);
  CHECK(monitor.AcceptReadyHead()
            ->Expect(Type::kRequest)
            .Body<link::Request>()
            .deaths == expected + 1);
}

TEST_CASE("What a head said before it died still counts",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  const Message message = monitor.Deliver(client, *head, 1, "a");
  REQUIRE(kill(monitor.pid(), SIGSTOP) == 0);
  head->Respond(message.header.token, "last words");
  head->Kill();
  REQUIRE(kill(monitor.pid(), SIGCONT) == 0);
  CHECK(client.Receive().payload == "last words");
  auto next = monitor.AcceptReadyHead();
  CHECK(next->IsQuiet());
}

TEST_CASE("Requests are kept while there is no head", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptHead();
  Client client = monitor.Connect();
  client.Send(1, "early");
  CHECK(head->IsQuiet());
  head->Hello();
  CHECK(head->Expect(Type::kRequest).tail() == "early");
}

TEST_CASE("A closed connection cancels its requests", "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client other = monitor.Connect();
  const Message kept = monitor.Deliver(other, *head, 1, "other");
  {
    Client client = monitor.Connect();
    const Message a = monitor.Deliver(client, *head, 1, "a");
    const Message b = monitor.Deliver(client, *head, 3, "b");
    CHECK(a.Body<link::Request>().connection !=
          kept.Body<link::Request>().connection);
    client.fd.Reset();
    CHECK(head->Expect(Type::kCancelled).header.token == a.header.token);
    CHECK(head->Expect(Type::kCancelled).header.token == b.header.token);
    head->Respond(a.header.token, "for nobody");
  }
  head->Kill();
  auto next = monitor.AcceptReadyHead();
  CHECK(next->Expect(Type::kRequest).header.token == kept.header.token);
  CHECK(next->IsQuiet());
}

TEST_CASE("A client that says no more still gets its answers",
          "[monitor][request]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Client client = monitor.Connect();
  client.Send(1, "last");
  REQUIRE(shutdown(client.fd.get(), SHUT_WR) == 0);
  const Message message = head->Expect(Type::kRequest);
  CHECK(head->IsQuiet());
  CHECK_FALSE(Ready(client.fd.get(), POLLIN, 200));
  CHECK(monitor.ComesToRest());
  head->Respond(message.header.token, "answer");
  CHECK(client.Receive().payload == "answer");
  // Then there is nothing left to say.
  CHECK(ReadBytes(client.fd.get(), 1).empty());
}

}  // namespace
}  // namespace hydra::monitor
