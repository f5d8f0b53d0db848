#include "shim/events/publisher.h"

#include <errno.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "containerd/services/events/ttrpc.pb.h"
#include "test/unit/event/run_loop.h"
#include "test/unit/task/fake_monitor.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra {
namespace {

using containerd::services::events::ttrpc::v1::ForwardRequest;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kEngine[] = "/run/engine.sock.ttrpc";

Publication Answer(absl::StatusCode code) {
  ::ttrpc::Response response;
  if (code != absl::StatusCode::kOk) {
    response.mutable_status()->set_code(static_cast<int>(code));
    response.mutable_status()->set_message("no");
  }
  return {0, false, response.SerializeAsString()};
}

// A publisher and its record, over a monitor that the test plays. What is
// saved is `saved_`; a head that dies comes back with that.
class PublisherTest {
 protected:
  PublisherTest() {
    saved_.set_next_event(1);
    fake_.on_publish =
        [this](const FakeMonitor::Publish& call) -> std::optional<Publication> {
      ::ttrpc::Request request;
      REQUIRE(request.ParseFromString(call.request));
      CHECK(request.service() == "containerd.services.events.ttrpc.v1.Events");
      CHECK(request.method() == "Forward");
      CHECK(request.timeout_nano() > 0);
      REQUIRE(request.metadata_size() == 1);
      CHECK(request.metadata(0).key() == "containerd-namespace-ttrpc");
      CHECK(request.metadata(0).value() == "blue");
      CHECK(call.address == kEngine);
      CHECK(call.timeout > milliseconds(0));
      ForwardRequest forward;
      REQUIRE(forward.ParseFromString(request.payload()));
      events_.push_back(forward);
      if (answer_) return answer_(forward);
      return Answer(absl::StatusCode::kOk);
    };
  }

  ~PublisherTest() {
    if (head_ != nullptr) KillHead();
  }

  void StartHead(const std::string& address = kEngine) {
    head_ = std::make_unique<Head>();
    head_->record = saved_;
    head_->client = fake_.Connect(loop());
    MonitorClient::Handlers link;
    link.on_monitor_lost = [] {};
    REQUIRE(head_->client->Serve(std::move(link)).ok());
    Publisher::Handlers handlers;
    handlers.taken = [head = head_.get()](uint64_t sequence) {
      REQUIRE(head->record.outbox_size() > 0);
      CHECK(head->record.outbox(0).sequence() == sequence);
      head->record.mutable_outbox()->DeleteSubrange(0, 1);
    };
    handlers.save = [this] { Save(); };
    head_->publisher = std::make_unique<Publisher>(
        loop(), head_->client.get(), Publisher::Config{address, "blue"},
        &head_->record.outbox(), handlers);
    head_->publisher->TakeOver(record().next_event());
  }
  // Never touched again, like the memory of a dead process.
  void KillHead() {
    static auto* dead = new std::vector<std::unique_ptr<Head>>;
    fake_.Disconnect();
    dead->push_back(std::move(head_));
  }
  void RestartHead() {
    KillHead();
    StartHead();
  }
  void Save() {
    ++saves_;
    if (!can_save_) return;
    saved_ = record();
    publisher().OnSaved();
  }
  void Add(const std::string& topic) {
    auto* event = record().add_outbox();
    event->set_sequence(record().next_event());
    record().set_next_event(record().next_event() + 1);
    event->set_timestamp(1'700'000'000'000'000'042);
    event->set_topic(topic);
    event->mutable_payload()->set_type_url("containerd.events.TaskStart");
    event->mutable_payload()->set_value("payload of " + topic);
  }
  void SaveAndWake() {
    Save();
    publisher().Wake(record().next_event());
  }
  std::string Topics() const {
    std::string topics;
    for (const auto& event : events_) topics += event.envelope().topic();
    return topics;
  }
  bool WaitEmpty() {
    return RunUntil(loop(), [this] { return record().outbox().empty(); });
  }
  bool WaitSent(size_t count) {
    return RunUntil(loop(), [&] { return events_.size() >= count; });
  }
  // All that was said over the link has been heard.
  void Settle() { RunFor(loop(), milliseconds(5)); }
  bool Drain(milliseconds limit) {
    return Await(loop(), publisher().Drain(limit));
  }

  struct Head {
    const std::unique_ptr<EventLoop> loop = MakeLoop();
    state::Record record;
    std::unique_ptr<MonitorClient> client;
    std::unique_ptr<Publisher> publisher;
  };
  EventLoop* loop() { return head_->loop.get(); }
  state::Record& record() { return head_->record; }
  Publisher& publisher() { return *head_->publisher; }

  FakeMonitor fake_;
  state::Record saved_;
  bool can_save_ = true;
  int saves_ = 0;
  std::function<std::optional<Publication>(const ForwardRequest&)> answer_;
  std::vector<ForwardRequest> events_;
  std::unique_ptr<Head> head_;
};

TEST_CASE_METHOD(PublisherTest, "Events go out in order, one at a time") {
  StartHead();
  answer_ = [this](const auto& forward) {
    // The one under way is the front, and no later one has come.
    CHECK(record().outbox(0).topic() == forward.envelope().topic());
    if (forward.envelope().topic() == "/b") {
      Add("/d");
      SaveAndWake();
    }
    return Answer(absl::StatusCode::kOk);
  };
  Add("/a");
  Add("/b");
  Add("/c");
  SaveAndWake();
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b/c/d");
  const auto& envelope = events_[0].envelope();
  CHECK(envelope.namespace_() == "blue");
  CHECK(envelope.timestamp().seconds() == 1'700'000'000);
  CHECK(envelope.timestamp().nanos() == 42);
  CHECK(envelope.event().type_url() == "containerd.events.TaskStart");
  CHECK(envelope.event().value() == "payload of /a");
}

TEST_CASE_METHOD(PublisherTest, "An event goes out once it is saved") {
  StartHead();
  answer_ = [this](const auto&) {
    Add("/b");
    publisher().Wake(2);
    return Answer(absl::StatusCode::kOk);
  };
  Add("/a");
  SaveAndWake();
  REQUIRE(WaitSent(1));
  Settle();
  CHECK(Topics() == "/a");
  answer_ = {};
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b");
}

TEST_CASE_METHOD(PublisherTest,
                 "What the engine took from a head that died is not sent") {
  StartHead();
  answer_ = [](const auto&) { return std::nullopt; };
  Add("/a");
  Add("/b");
  SaveAndWake();
  REQUIRE(WaitSent(1));
  answer_ = {};
  SECTION("The answer comes while no head is there") {
    fake_.Disconnect();
    fake_.EndPublish(fake_.publishes()[0].key, Answer(absl::StatusCode::kOk));
  }
  SECTION("The answer comes, and the head dies before it has read it") {
    fake_.EndPublish(fake_.publishes()[0].key, Answer(absl::StatusCode::kOk));
  }
  SECTION("The answer comes, and the head dies before it has saved") {
    can_save_ = false;
    fake_.EndPublish(fake_.publishes()[0].key, Answer(absl::StatusCode::kOk));
    REQUIRE(WaitEmpty());
    CHECK(Topics() == "/a/b");
    can_save_ = true;
  }
  SECTION("The answer comes to the next head") {
    RestartHead();
    Settle();
    CHECK(record().outbox_size() == 2);
    fake_.EndPublish(fake_.publishes()[0].key, Answer(absl::StatusCode::kOk));
  }
  RestartHead();
  REQUIRE(WaitEmpty());
  Settle();
  CHECK(Topics() == "/a/b");
  CHECK(fake_.known_publications() == 0);
}

TEST_CASE_METHOD(PublisherTest,
                 "A head that dies between saving and forgetting leaves no "
                 "name behind") {
  StartHead();
  can_save_ = false;
  Add("/a");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  Settle();
  CHECK(fake_.known_publications() == 1);
  saved_ = record();
  can_save_ = true;
  RestartHead();
  Settle();
  CHECK(fake_.known_publications() == 0);
  CHECK(Topics() == "/a");
}

TEST_CASE_METHOD(PublisherTest,
                 "Events of a record that was lost are told by what they say") {
  StartHead();
  saved_ = record();
  can_save_ = false;
  Add("/a");
  Add("/b");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b");
  RestartHead();
  can_save_ = true;
  SECTION("The same again") {
    Add("/a");
    record().mutable_outbox(0)->set_timestamp(1'800'000'000'000'000'000);
    Add("/b");
    SaveAndWake();
    REQUIRE(WaitEmpty());
    CHECK(Topics() == "/a/b");
  }
  SECTION("Others under their numbers") {
    Add("/c");
    SaveAndWake();
    REQUIRE(WaitEmpty());
    CHECK(Topics() == "/a/b/c");
  }
}

TEST_CASE_METHOD(PublisherTest, "An engine that comes later gets all") {
  StartHead();
  answer_ = [](const auto&) { return Publication{ECONNREFUSED, false, ""}; };
  Add("/a");
  Add("/b");
  SaveAndWake();
  REQUIRE(WaitSent(3));
  CHECK(record().outbox_size() == 2);
  events_.clear();
  answer_ = {};
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b");
  Settle();
  CHECK(fake_.known_publications() == 0);
}

TEST_CASE_METHOD(PublisherTest, "An event that is refused for now is kept") {
  StartHead();
  int refusals = 2;
  answer_ = [&](const auto&) {
    return Answer(refusals-- > 0 ? absl::StatusCode::kInternal
                                 : absl::StatusCode::kOk);
  };
  Add("/a");
  Add("/b");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/a/a/b");
}

TEST_CASE_METHOD(PublisherTest, "An answer that does not parse is none") {
  StartHead();
  int bad = 1;
  answer_ = [&](const auto&) {
    return bad-- > 0 ? Publication{0, false, "\xff\xff\xff"}
                     : Answer(absl::StatusCode::kOk);
  };
  Add("/a");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/a");
}

TEST_CASE_METHOD(PublisherTest, "An invalid event is given up, not the next") {
  StartHead();
  std::function<Publication()> invalid;
  SECTION("By the engine") {
    invalid = [] { return Answer(absl::StatusCode::kInvalidArgument); };
  }
  SECTION("Because its socket has no possible name") {
    invalid = [] { return Publication{ENAMETOOLONG, false, ""}; };
  }
  answer_ = [&](const auto& forward) {
    return forward.envelope().topic() == "/a" ? invalid()
                                              : Answer(absl::StatusCode::kOk);
  };
  Add("/a");
  Add("/b");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b");
}

TEST_CASE_METHOD(PublisherTest, "An event longer than a frame is given up") {
  StartHead();
  Add("/a");
  record().mutable_outbox(0)->mutable_payload()->set_value(
      std::string(4 << 20, 'x'));
  Add("/b");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/b");
}

TEST_CASE_METHOD(PublisherTest, "A long outbox is not saved for each event") {
  StartHead();
  for (int i = 0; i < 100; ++i) Add("/e");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(events_.size() == 100);
  CHECK(saves_ < 10);
  Settle();
  CHECK(saved_.outbox().empty());
  CHECK(fake_.known_publications() == 0);
}

TEST_CASE_METHOD(PublisherTest,
                 "Where nothing can be saved the monitor is not filled") {
  StartHead();
  can_save_ = false;
  for (int i = 0; i < 400; ++i) Add("/e");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  Settle();
  CHECK(events_.size() == 400);
  CHECK(fake_.known_publications() <= 256);
}

TEST_CASE_METHOD(PublisherTest, "Without an engine events are taken at once") {
  StartHead("");
  Add("/a");
  Add("/b");
  SaveAndWake();
  CHECK(record().outbox().empty());
  Settle();
  CHECK(fake_.publishes().empty());
}

TEST_CASE_METHOD(PublisherTest, "The address may be written as a URL") {
  StartHead(std::string("unix://") + kEngine);
  Add("/a");
  SaveAndWake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a");
}

TEST_CASE_METHOD(PublisherTest, "Without an engine Drain does not wait") {
  StartHead("");
  Add("/a");
  SaveAndWake();
  const auto start = EventLoop::Clock::now();
  CHECK(Drain(seconds(5)));
  CHECK(EventLoop::Clock::now() - start < seconds(4));
  CHECK(record().outbox().empty());
}

TEST_CASE_METHOD(PublisherTest, "Drain of an empty outbox is done") {
  StartHead();
  CHECK(Drain(milliseconds(0)));
}

TEST_CASE_METHOD(PublisherTest, "Drain waits for the last answer") {
  StartHead();
  Add("/a");
  Add("/b");
  SaveAndWake();
  CHECK(Drain(seconds(5)));
  CHECK(Topics() == "/a/b");
  Add("/c");
  SaveAndWake();
  CHECK(Drain(seconds(5)));
  CHECK(Topics() == "/a/b/c");
}

TEST_CASE_METHOD(PublisherTest, "Drain gives up at its limit, and may again") {
  StartHead();
  answer_ = [](const auto&) { return std::nullopt; };
  Add("/a");
  SaveAndWake();
  CHECK_FALSE(Drain(milliseconds(20)));
  CHECK(record().outbox_size() == 1);
  CHECK_FALSE(Drain(milliseconds(20)));
  fake_.EndPublish(fake_.publishes()[0].key, Answer(absl::StatusCode::kOk));
  CHECK(Drain(seconds(5)));
  CHECK(Topics() == "/a");
}

}  // namespace
}  // namespace hydra
