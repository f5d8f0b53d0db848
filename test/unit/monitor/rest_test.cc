// A head that has nothing to do, and goes.

#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>

#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Type;

// Long enough for the monitor to start a head that it should not start.
constexpr int kNobodyComes = 300;

class RestTest : public MonitorFixture {
 protected:
  // The next head, which counts what it is told.
  std::shared_ptr<FakeHead> AcceptCounted() {
    auto head = AcceptHead();
    taken_ = head->Hello().size() + 1;  // And kSynced.
    return head;
  }
  link::Message Take(FakeHead& head, Type type) {
    ++taken_;
    return head.Expect(type);
  }
  void SayIdle(FakeHead& head, const std::vector<int>& wake = {}) {
    head.Send(Type::kIdle, 0, 0, link::Idle{taken_}, {}, wake);
  }
  void Rest(FakeHead& head, const std::vector<int>& wake = {}) {
    SayIdle(head, wake);
    REQUIRE(head.SeesEnd());
    head.Exit(0);
    REQUIRE_FALSE(HeadComes(kNobodyComes));
    CHECK(Children().empty());
  }

  uint64_t taken_ = 0;
};

TEST_CASE_METHOD(RestTest, "A request wakes a resting head",
                 "[monitor][rest]") {
  Rest(*AcceptCounted());
  Client client = Connect();
  client.Send(1, "ping");
  auto head = AcceptCounted();
  const link::Message request = head->Expect(Type::kRequest);
  CHECK(request.tail() == "ping");
  head->Respond(request.header.token, "pong");
  CHECK(client.Receive().payload == "pong");
  CHECK(Log().find("ended with") == std::string::npos);
}

TEST_CASE_METHOD(RestTest, "To rest is no death", "[monitor][rest]") {
  Rest(*AcceptCounted());
  Client client = Connect();
  client.Send(1, "ping");
  auto head = AcceptHead();
  const auto welcome = head->Hello()[0].Body<link::Welcome>();
  CHECK(welcome.generation == 2);
  CHECK(welcome.previous_died_at == 0);
}

TEST_CASE_METHOD(RestTest, "A head with a request to answer does not rest",
                 "[monitor][rest]") {
  auto head = AcceptCounted();
  Client client = Connect();
  client.Send(1, "ping");
  const link::Message request = Take(*head, Type::kRequest);
  SayIdle(*head);
  CHECK(head->IsQuiet());
  head->Respond(request.header.token, "pong");
  CHECK(client.Receive().payload == "pong");
  Rest(*head);
}

TEST_CASE_METHOD(RestTest, "A head with a message on the way does not rest",
                 "[monitor][rest]") {
  auto head = AcceptCounted();
  Client client = Connect();
  client.Send(1, "ping");
  const link::Message request = head->Expect(Type::kRequest);
  // As if it had said so before it read the request.
  head->Send(Type::kParked, request.header.token);
  SayIdle(*head);
  CHECK(head->IsQuiet());
  ++taken_;
  Rest(*head);
}

TEST_CASE_METHOD(RestTest, "A request that waits does not keep a head",
                 "[monitor][rest]") {
  auto head = AcceptCounted();
  Client client = Connect();
  client.Send(1, "wait");
  const uint64_t token = Take(*head, Type::kRequest).header.token;
  head->Send(Type::kParked, token);
  Rest(*head);
  client.Send(3, "ping");
  auto next = AcceptCounted();
  const link::Message wait = next->Expect(Type::kRequest);
  CHECK(wait.header.token == token);
  CHECK(wait.tail() == "wait");
  CHECK(next->Expect(Type::kRequest).tail() == "ping");
  next->Respond(token, "done");
  CHECK(client.Receive().payload == "done");
}

TEST_CASE_METHOD(RestTest, "An exit wakes a resting head", "[monitor][rest]") {
  auto head = AcceptCounted();
  const Pipe hold = MakePipe();
  head->Shell(5, 1, "read x", 0, {{hold.read.get(), 0}});
  Take(*head, Type::kOperation);
  SayIdle(*head);
  REQUIRE(head->SeesEnd());
  head->Exit(0);
  REQUIRE_FALSE(HeadComes(kNobodyComes));
  WriteBytes(hold.write.get(), "\n");
  auto next = AcceptHead();
  bool told = false;
  for (const link::Message& message : next->Hello()) {
    told |= message.type() == Type::kExit && message.header.token == 5;
  }
  CHECK(told);
}

TEST_CASE_METHOD(RestTest, "A descriptor wakes a resting head",
                 "[monitor][rest]") {
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  auto head = AcceptCounted();
  Rest(*head, {event.get()});
  const uint64_t one = 1;
  REQUIRE(write(event.get(), &one, sizeof(one)) == sizeof(one));
  AcceptCounted();
  // It stays readable, which is nothing to the monitor any more.
  CHECK(ComesToRest());
}

TEST_CASE_METHOD(RestTest, "The end of the last client wakes a resting head",
                 "[monitor][rest]") {
  auto head = AcceptCounted();
  auto engine = std::make_unique<Client>(Connect());
  auto other = std::make_unique<Client>(Connect());
  for (Client* client : {engine.get(), other.get()}) {
    client->Send(1, "ping");
    head->Respond(Take(*head, Type::kRequest).header.token, "pong");
    CHECK(client->Receive().payload == "pong");
  }
  Rest(*head);
  other.reset();
  CHECK_FALSE(HeadComes(kNobodyComes));
  engine.reset();
  // And it rests again, should nobody come back.
  Rest(*AcceptCounted());
}

TEST_CASE_METHOD(RestTest, "A head is woken before it is gone",
                 "[monitor][rest]") {
  auto head = AcceptCounted();
  SayIdle(*head);
  REQUIRE(head->SeesEnd());
  Client client = Connect();
  client.Send(1, "ping");
  // The first never ends by itself.
  CHECK(AcceptCounted()->Expect(Type::kRequest).tail() == "ping");
}

TEST_CASE_METHOD(RestTest, "A head rests before and after an upgrade",
                 "[monitor][rest][upgrade]") {
  Rest(*AcceptCounted());
  const int fds = FdCount();
  Client client = Connect();
  client.Send(1, "upgrade");
  auto head = AcceptCounted();
  const uint64_t token = Take(*head, Type::kRequest).header.token;
  // A request that waits for an upgrade lets nobody rest over it.
  head->Upgrade(token, 1, {.monitor = HYDRA_MONITOR_NEXT});
  head->Send(Type::kParked, token);
  SayIdle(*head);
  head = AcceptHead();
  bool told = false;
  for (const link::Message& message : head->Hello()) {
    ++taken_;
    told |= message.type() == Type::kOperation && message.header.step == 1 &&
            message.Body<link::Operation>().error == 0;
  }
  CHECK(told);
  CHECK(head->Expect(Type::kRequest).header.token == token);
  head->Respond(token, "done");
  CHECK(client.Receive().payload == "done");
  head->Kill();

  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  Rest(*AcceptCounted(), {event.get()});
  // The client, and what the head waits for.
  CHECK(FdCount() == fds + 2);
  client.Send(3, "ping");
  CHECK(AcceptCounted()->Expect(Type::kRequest).tail() == "ping");
}

}  // namespace
}  // namespace hydra::monitor
