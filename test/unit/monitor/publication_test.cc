// kPublish: an event goes to the engine once, whatever becomes of the head.

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>
#include <vector>

#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Published;
using link::Type;

// The engine's event service, as far as the test plays it.
class TestEngine {
 public:
  explicit TestEngine(std::string path, int backlog = 8)
      : path_(std::move(path)),
        listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    REQUIRE(path_.size() < sizeof(name.sun_path));
    strcpy(name.sun_path, path_.c_str());
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&name),
                 sizeof(name)) == 0);
    REQUIRE(listen(listener_.get(), backlog) == 0);
  }
  ~TestEngine() { unlink(path_.c_str()); }

  const std::string& path() const { return path_; }
  bool IsCalled(int ms = 50) { return Ready(listener_.get(), POLLIN, ms); }
  std::unique_ptr<Client> Accept() {
    REQUIRE(IsCalled(kPatience));
    return std::make_unique<Client>(
        UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }

 private:
  std::string path_;
  UniqueFd listener_;
};

// The frame that comes next, a request with this payload; its stream id.
uint32_t Receive(Client& engine, const std::string& payload) {
  const Response frame = engine.Receive();
  CHECK(frame.type == 1);
  CHECK(frame.payload == payload);
  return frame.stream_id;
}

void Answer(Client& engine, uint32_t stream_id, std::string_view payload) {
  engine.Send(stream_id, payload, 2);
}

bool IsQuiet(Client& engine) { return !Ready(engine.fd.get(), POLLIN, 50); }

// Whether the monitor closes the connection, with nothing more to read.
bool SeesEnd(Client& engine) {
  char byte;
  return Ready(engine.fd.get(), POLLIN, kPatience) &&
         recv(engine.fd.get(), &byte, 1, 0) <= 0;
}

constexpr uint64_t kFirst = link::kEventToken | 1;

class PublicationTest {
 protected:
  PublicationTest()
      : address_(monitor_.path("engine.sock")),
        engine_(std::make_unique<TestEngine>(address_)),
        head_(monitor_.AcceptReadyHead()) {}

  void Publish(uint64_t token, const std::string& request,
               uint32_t timeout_ms = 0) {
    head_->Publish(token, 7, address_, request, timeout_ms);
  }
  Message ExpectResult(uint64_t token) {
    Message message = head_->Expect(Type::kPublished);
    CHECK(message.header.token == token);
    CHECK(message.header.step == 7);
    return message;
  }
  void ExpectAnswer(uint64_t token, std::string_view payload) {
    const Message message = ExpectResult(token);
    CHECK(message.Body<Published>().error == 0);
    CHECK(message.Body<Published>().ambiguous == 0);
    CHECK(message.tail() == payload);
  }
  void ExpectError(uint64_t token, int error, bool ambiguous) {
    const Message message = ExpectResult(token);
    CHECK(message.Body<Published>().error == error);
    CHECK(message.Body<Published>().ambiguous == (ambiguous ? 1 : 0));
    CHECK(message.tail().empty());
  }
  // The connection over which `request` comes and is answered.
  std::unique_ptr<Client> PublishOne(uint64_t token) {
    Publish(token, "event");
    auto connection = engine_->Accept();
    Answer(*connection, Receive(*connection, "event"), "ok");
    ExpectAnswer(token, "ok");
    return connection;
  }
  // What a new head is told, without kWelcome.
  std::vector<Message> NextHead() {
    head_->Kill();
    head_ = monitor_.AcceptHead();
    std::vector<Message> known = head_->Hello();
    known.erase(known.begin());
    return known;
  }
  // Whether the monitor does its work as before.
  void CheckAlive() {
    Client client = monitor_.Connect();
    const Message request = monitor_.Deliver(client, *head_, 1, "alive");
    head_->Respond(request.header.token, "yes");
    CHECK(client.Receive().payload == "yes");
  }

  MonitorFixture monitor_;
  std::string address_;
  std::unique_ptr<TestEngine> engine_;
  std::shared_ptr<FakeHead> head_;
};

TEST_CASE_METHOD(PublicationTest, "Events go over one connection in turn",
                 "[monitor][publish]") {
  Publish(kFirst, "one");
  Publish(kFirst + 1, "two");
  Publish(kFirst + 2, "");
  auto connection = engine_->Accept();
  CHECK(Receive(*connection, "one") == 1);
  CHECK(IsQuiet(*connection));
  Answer(*connection, 1, "re: one");
  ExpectAnswer(kFirst, "re: one");
  CHECK(Receive(*connection, "two") == 3);
  Answer(*connection, 3, "");
  ExpectAnswer(kFirst + 1, "");
  CHECK(Receive(*connection, "") == 5);
  Answer(*connection, 5, "re: three");
  ExpectAnswer(kFirst + 2, "re: three");
  CHECK_FALSE(engine_->IsCalled());
  CHECK(monitor_.ComesToRest());
}

TEST_CASE_METHOD(PublicationTest, "A result is replayed until it is forgotten",
                 "[monitor][publish][replay]") {
  auto connection = PublishOne(kFirst);
  std::vector<Message> known = NextHead();
  REQUIRE(known.size() == 1);
  CHECK(known[0].type() == Type::kPublished);
  CHECK(known[0].header.token == kFirst);
  CHECK(known[0].tail() == "ok");
  // Asked for again, it is not sent again.
  Publish(kFirst, "event");
  ExpectAnswer(kFirst, "ok");
  CHECK(IsQuiet(*connection));
  head_->Send(Type::kForgetToken, kFirst);
  CHECK(NextHead().empty());
  Publish(kFirst, "event");
  CHECK(Receive(*connection, "event") == 3);
}

TEST_CASE_METHOD(PublicationTest, "An answer finds the next head",
                 "[monitor][publish][replay]") {
  Publish(kFirst, "event");
  auto connection = engine_->Accept();
  const uint32_t stream = Receive(*connection, "event");
  SECTION("That was told when it came") {
    head_->Kill();
    head_ = monitor_.AcceptHead();
    Answer(*connection, stream, "ok");
    // Whether before or after its kHello.
    const std::vector<Message> known = head_->Hello();
    if (known.size() == 1) ExpectAnswer(kFirst, "ok");
  }
  SECTION("That asks for it while it is under way") {
    CHECK(NextHead().empty());
    Publish(kFirst, "event");
    CHECK(IsQuiet(*connection));
    Answer(*connection, stream, "ok");
    ExpectAnswer(kFirst, "ok");
  }
  CHECK(IsQuiet(*connection));
  CHECK_FALSE(engine_->IsCalled());
}

TEST_CASE_METHOD(PublicationTest, "An engine that is not there is an errno",
                 "[monitor][publish]") {
  engine_.reset();
  Publish(kFirst, "event");
  ExpectError(kFirst, ENOENT, false);
  Publish(kFirst, "event");
  ExpectError(kFirst, ENOENT, false);
  head_->Publish(kFirst + 1, 7, "/" + std::string(200, 'a'), "event");
  ExpectError(kFirst + 1, ENAMETOOLONG, false);
  engine_ = std::make_unique<TestEngine>(address_);
  head_->Send(Type::kForgetToken, kFirst);
  PublishOne(kFirst);
}

TEST_CASE_METHOD(PublicationTest, "A restart of the engine costs no event",
                 "[monitor][publish]") {
  auto connection = PublishOne(kFirst);
  for (uint64_t token = kFirst + 1; token < kFirst + 4; ++token) {
    // Gone and back at once, perhaps before the monitor has seen it.
    connection.reset();
    engine_.reset();
    engine_ = std::make_unique<TestEngine>(address_);
    connection = PublishOne(token);
  }
  CHECK(monitor_.ComesToRest());
}

TEST_CASE_METHOD(PublicationTest, "A dead connection is closed when it is idle",
                 "[monitor][publish]") {
  auto connection = PublishOne(kFirst);
  const int fds = monitor_.FdCount();
  connection.reset();
  CHECK(Eventually([&] { return monitor_.FdCount() == fds - 1; }));
  CHECK(monitor_.ComesToRest());
}

TEST_CASE_METHOD(PublicationTest, "An engine that dies before it has read",
                 "[monitor][publish]") {
  Publish(kFirst, "event");
  {
    auto connection = engine_->Accept();
    REQUIRE(Ready(connection->fd.get(), POLLIN, kPatience));
  }
  ExpectError(kFirst, ECONNRESET, false);
  head_->Send(Type::kForgetToken, kFirst);
  PublishOne(kFirst);
}

TEST_CASE_METHOD(PublicationTest, "An engine that dies before it has answered",
                 "[monitor][publish]") {
  Publish(kFirst, "event");
  {
    auto connection = engine_->Accept();
    const uint32_t stream = Receive(*connection, "event");
    // A part of an answer is none.
    const std::string frame = MakeFrame(stream, "answer", 2);
    connection->SendRaw(frame.substr(0, GENERATE(0u, 4u, 10u, 15u)));
  }
  ExpectError(kFirst, ECONNABORTED, true);
  head_->Send(Type::kForgetToken, kFirst);
  PublishOne(kFirst);
}

TEST_CASE_METHOD(PublicationTest, "An answer may stand before the end",
                 "[monitor][publish]") {
  Publish(kFirst, "event");
  {
    auto connection = engine_->Accept();
    Answer(*connection, Receive(*connection, "event"), "ok");
  }
  ExpectAnswer(kFirst, "ok");
  PublishOne(kFirst + 1);
}

TEST_CASE_METHOD(PublicationTest, "An answer may come in pieces",
                 "[monitor][publish]") {
  Publish(kFirst, "event");
  auto connection = engine_->Accept();
  const uint32_t stream = Receive(*connection, "event");
  const std::string payload(60'000, 'x');
  const std::string frame = MakeFrame(stream, payload, 2);
  for (const char c : frame.substr(0, 20)) {
    connection->SendRaw(std::string(1, c));
  }
  CHECK(head_->IsQuiet());
  connection->SendRaw(frame.substr(20));
  ExpectAnswer(kFirst, payload);
}

TEST_CASE_METHOD(PublicationTest, "A request may be larger than the buffers",
                 "[monitor][publish]") {
  const std::string large(3'000'000, 'x');
  Publish(kFirst, large);
  auto connection = engine_->Accept();
  // The monitor does other things while it waits for room.
  CheckAlive();
  Answer(*connection, Receive(*connection, large), "ok");
  ExpectAnswer(kFirst, "ok");
  CHECK(monitor_.ComesToRest());
}

TEST_CASE_METHOD(PublicationTest, "An engine that never answers is given up",
                 "[monitor][publish]") {
  Publish(kFirst, "event", 50);
  auto connection = engine_->Accept();
  Receive(*connection, "event");
  ExpectError(kFirst, ETIMEDOUT, true);
  CHECK(SeesEnd(*connection));
  head_->Send(Type::kForgetToken, kFirst);
  connection = PublishOne(kFirst);
  CHECK(monitor_.ComesToRest());
}

TEST_CASE_METHOD(PublicationTest, "An engine that never reads is given up",
                 "[monitor][publish]") {
  Publish(kFirst, std::string(3'000'000, 'x'), 50);
  auto connection = engine_->Accept();
  ExpectError(kFirst, ETIMEDOUT, false);
  PublishOne(kFirst + 1);
}

TEST_CASE_METHOD(PublicationTest, "An engine that accepts nobody is an errno",
                 "[monitor][publish]") {
  engine_.reset();
  engine_ = std::make_unique<TestEngine>(address_, 0);
  // The backlog has room for one.
  Client other(address_);
  Publish(kFirst, "event");
  ExpectError(kFirst, EAGAIN, false);
}

TEST_CASE_METHOD(PublicationTest, "Rubbish ends the connection, and no more",
                 "[monitor][publish]") {
  Publish(kFirst, "event");
  auto connection = engine_->Accept();
  const uint32_t stream = Receive(*connection, "event");
  std::string rubbish;
  SECTION("Longer than a frame") {
    rubbish.assign("\x00\x40\x00\x01", 4).append(100, '\x01');
  }
  SECTION("A request") { rubbish = MakeFrame(stream, "x", 1); }
  SECTION("For a stream that is the server's") {
    rubbish = MakeFrame(stream + 1, "x", 2);
  }
  SECTION("For a call that was not made") {
    rubbish = MakeFrame(stream + 2, "x", 2);
  }
  connection->SendRaw(rubbish);
  ExpectError(kFirst, EPROTO, true);
  CHECK(SeesEnd(*connection));
  PublishOne(kFirst + 1);
}

TEST_CASE_METHOD(PublicationTest, "Rubbish while nothing is asked",
                 "[monitor][publish]") {
  auto connection = PublishOne(kFirst);
  connection->Send(7, "x", 2);
  CHECK(SeesEnd(*connection));
  PublishOne(kFirst + 1);
}

TEST_CASE_METHOD(PublicationTest, "An answer that is too large is an error",
                 "[monitor][publish]") {
  Publish(kFirst, "event");
  auto connection = engine_->Accept();
  const uint32_t stream = Receive(*connection, "event");
  Answer(*connection, stream, std::string(100'000, 'x'));
  ExpectError(kFirst, EMSGSIZE, true);
  // The connection is as good as before.
  Publish(kFirst + 1, "two");
  Answer(*connection, Receive(*connection, "two"), "ok");
  ExpectAnswer(kFirst + 1, "ok");
}

TEST_CASE_METHOD(PublicationTest, "A late answer is nobody's",
                 "[monitor][publish]") {
  Publish(kFirst, "event");
  auto connection = engine_->Accept();
  const uint32_t stream = Receive(*connection, "event");
  head_->Send(Type::kForgetToken, kFirst);
  Publish(kFirst + 1, "two");
  const uint32_t next = Receive(*connection, "two");
  Answer(*connection, stream, "late");
  Answer(*connection, next, "ok");
  ExpectAnswer(kFirst + 1, "ok");
  CHECK(head_->IsQuiet());
}

TEST_CASE_METHOD(PublicationTest, "A publication that makes no sense is EINVAL",
                 "[monitor][publish]") {
  head_->Publish(kFirst, 7, "", "event");
  ExpectError(kFirst, EINVAL, false);
  link::Publish body = {};
  body.address_size = 1000;
  head_->Send(Type::kPublish, kFirst + 1, 7, body, "short");
  ExpectError(kFirst + 1, EINVAL, false);
  head_->Send(Type::kPublish, kFirst + 2, 7);
  ExpectError(kFirst + 2, EINVAL, false);
  CheckAlive();
}

}  // namespace
}  // namespace hydra::monitor
