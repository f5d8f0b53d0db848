// What a monitor that executes another version of itself has taken in and not
// passed on yet: spooled output, and events; and what it was started with.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <string>
#include <vector>

#include "test/unit/monitor/spool_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Operation;
using link::Published;
using link::SpoolPolicy;
using link::StreamState;
using link::Type;

constexpr uint64_t kUpgradeToken = link::kInternalToken | 1;
constexpr uint64_t kEvent = link::kEventToken | 1;
constexpr uint64_t kMiB = 1 << 20;

class UpgradeOutputTest : public SpoolStreamFixture {
 protected:
  // Upgrades to the later version, and back the next time. The head is the next
  // one then; what it was told of these types.
  std::vector<Message> Upgrade(Type type) {
    to_next_ = !to_next_;
    head->Upgrade(kUpgradeToken, ++step_,
                  {.monitor = to_next_ ? HYDRA_MONITOR_NEXT : HYDRA_MONITOR});
    head = AcceptHead();
    std::vector<Message> told;
    bool is_known = false;
    for (Message& message : head->Hello()) {
      if (message.type() == Type::kOperation && message.header.step == step_) {
        CHECK(message.Body<Operation>().error == 0);
        is_known = true;
      }
      if (message.type() == type) told.push_back(std::move(message));
    }
    CHECK(is_known);
    return told;
  }
  UniqueFd Listen() {
    UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    address_ = path("engine");
    REQUIRE(address_.size() < sizeof(name.sun_path));
    strcpy(name.sun_path, address_.c_str());
    REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&name),
                 sizeof(name)) == 0);
    REQUIRE(listen(listener.get(), 8) == 0);
    return listener;
  }
  // The next head asks for what it has not heard of; so says link/protocol.h.
  void ExpectPublished(uint64_t token, std::string_view answer) {
    const Message message = head->Expect(Type::kPublished);
    CHECK(message.header.token == token);
    CHECK(message.Body<Published>().error == 0);
    CHECK(message.tail() == answer);
  }

  bool to_next_ = false;
  uint32_t step_ = 0;
  std::string address_;
};

TEST_CASE_METHOD(UpgradeOutputTest, "What is spooled is replayed after it",
                 "[monitor][upgrade][spool]") {
  Add(64 * kMiB);
  const std::string sent = NumberedLines(0, 8 * kMiB / 16);
  Write(std::string_view(sent).substr(0, 3 * kMiB));
  REQUIRE(WaitForSpooling(true));
  const StreamState before = State();
  REQUIRE(Upgrade(Type::kStream).size() == 1);
  const StreamState after = State();
  CHECK(after.spooled_bytes == before.spooled_bytes);
  CHECK(after.spool_size == before.spool_size);
  CHECK(ComesToRest());

  // It goes on being written, and is read in part, between two more.
  Write(std::string_view(sent).substr(3 * kMiB, 2 * kMiB));
  UniqueFd reader = OpenReader();
  std::string received = ReadBytes(reader.get(), 1 * kMiB);
  Upgrade(Type::kStream);
  Write(std::string_view(sent).substr(5 * kMiB));
  Upgrade(Type::kStream);
  received += ReadBytes(reader.get(), sent.size() - received.size());
  CHECK((received == sent));
  REQUIRE(WaitForSpooling(false));
  const StreamState state = State();
  CHECK(state.bytes == sent.size());
  CHECK(state.lost_bytes == 0);
  CHECK(state.spool_size == 0);

  // The way the options were.
  Write(NumberedLines(1'000'000, kMiB / 16));
  CHECK(WaitForSpooling(true));
  CHECK(ReadBytes(reader.get(), kMiB).size() == kMiB);
  source().Reset();
  CHECK(ExpectEnd().bytes == 9 * kMiB);
}

TEST_CASE_METHOD(UpgradeOutputTest,
                 "A full spool stays full, and loses nothing",
                 "[monitor][upgrade][spool]") {
  Add(kMiB, SpoolPolicy::kBlock);
  const std::string sent = NumberedLines(0, 4 * kMiB / 16);
  const size_t taken = WriteUntilBlocked(sent, 300);
  REQUIRE(taken < sent.size());
  Upgrade(Type::kStream);
  CHECK(State().spool_size == kMiB);
  CHECK(ComesToRest());
  const UniqueFd reader = OpenReader();
  CHECK((ReadBytes(reader.get(), taken) == sent.substr(0, taken)));
  Upgrade(Type::kStream);
  Write(std::string_view(sent).substr(taken, 1000));
  CHECK(ReadBytes(reader.get(), 1000) == sent.substr(taken, 1000));
}

TEST_CASE_METHOD(UpgradeOutputTest, "What was left unread finds its reader",
                 "[monitor][upgrade][spool]") {
  Add(64 * kMiB);
  Write("last words");
  // Nobody is told of an end that a spool keeps back.
  REQUIRE(Eventually([this] { return State().bytes == 10; }));
  source().Reset();
  CHECK(ExpectEnd().bytes == 10);
  Upgrade(Type::kStream);
  Upgrade(Type::kStream);
  const int fds = FdCount();
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), 11) == "last words");
  CHECK(Eventually([&] { return FdCount() == fds - 1; }));
}

TEST_CASE_METHOD(UpgradeOutputTest, "Events are sent once, and answered",
                 "[monitor][upgrade][publish]") {
  const UniqueFd listener = Listen();
  auto accept_one = [&] {
    REQUIRE(Ready(listener.get(), POLLIN, kPatience));
    return UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  };
  head->Publish(kEvent, 7, address_, "known");
  Client engine(accept_one());
  engine.Send(engine.Receive().stream_id, "ok", 2);
  ExpectPublished(kEvent, "ok");
  // Larger than the socket takes: under way in the middle of its frame.
  const std::string large(2 * kMiB, 'e');
  head->Publish(kEvent + 1, 7, address_, large);
  head->Publish(kEvent + 2, 7, address_, "waits");
  REQUIRE(Ready(engine.fd.get(), POLLIN, kPatience));

  std::vector<Message> known = Upgrade(Type::kPublished);
  REQUIRE(known.size() == 1);
  CHECK(known[0].header.token == kEvent);
  CHECK(known[0].tail() == "ok");
  head->Publish(kEvent + 1, 7, address_, large);
  head->Publish(kEvent + 2, 7, address_, "waits");
  const Response request = engine.Receive();
  CHECK((request.payload == large));
  const std::string answer = MakeFrame(request.stream_id, "in two", 2);
  engine.SendRaw(std::string_view(answer).substr(0, 13));
  CHECK(head->IsQuiet());

  CHECK(Upgrade(Type::kPublished).size() == 1);
  engine.SendRaw(std::string_view(answer).substr(13));
  ExpectPublished(kEvent + 1, "in two");
  const Response last = engine.Receive();
  CHECK(last.payload == "waits");
  CHECK(last.stream_id == request.stream_id + 2);
  engine.Send(last.stream_id, "", 2);
  ExpectPublished(kEvent + 2, "");
  CHECK_FALSE(Ready(listener.get(), POLLIN, 50));
  CHECK(ComesToRest());
}

TEST_CASE_METHOD(UpgradeOutputTest, "An event's time goes on",
                 "[monitor][upgrade][publish]") {
  const UniqueFd listener = Listen();
  head->Publish(kEvent, 7, address_, "event", 1500);
  REQUIRE(Ready(listener.get(), POLLIN, kPatience));
  CHECK(Upgrade(Type::kPublished).empty());
  const Message message = head->Expect(Type::kPublished);
  CHECK(message.Body<Published>().error == ETIMEDOUT);
  CHECK(message.Body<Published>().ambiguous == 1);
}

class UpgradeArgumentsTest : protected MonitorFixture {
 protected:
  UpgradeArgumentsTest()
      : MonitorFixture(
            {.arguments = {"--cgroup", "/no/such", "--cgroup", "/nor/this"}}) {}
  std::vector<std::string> Cgroups() const {
    std::ifstream in("/proc/" + std::to_string(pid()) + "/cmdline");
    std::vector<std::string> words;
    bool is_value = false;
    for (std::string word; std::getline(in, word, '\0');) {
      if (is_value) words.push_back(word);
      is_value = word == "--cgroup";
    }
    return words;
  }
};

TEST_CASE_METHOD(UpgradeArgumentsTest, "The cgroups to leave are passed on",
                 "[monitor][upgrade]") {
  auto head = AcceptReadyHead();
  const std::vector<std::string> cgroups = Cgroups();
  CHECK(cgroups == std::vector<std::string>{"/no/such", "/nor/this"});
  for (const char* program : {HYDRA_MONITOR_NEXT, HYDRA_MONITOR}) {
    head->Upgrade(kUpgradeToken, 1, {.monitor = program});
    head = AcceptReadyHead();
    head->Send(Type::kForgetToken, kUpgradeToken);
    CHECK(Cgroups() == cgroups);
  }
}

}  // namespace
}  // namespace hydra::monitor
