#include "shim/events/publisher.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "containerd/services/events/ttrpc.pb.h"
#include "shim/base/status.h"
#include "test/unit/base/temp_directory.h"
#include "test/unit/event/run_loop.h"
#include "test/unit/ttrpc/scripted_server.h"

namespace hydra {
namespace {

using containerd::services::events::ttrpc::v1::ForwardRequest;
using std::chrono::milliseconds;
using std::chrono::seconds;

class PublisherTest {
 protected:
  PublisherTest() : loop_(MakeLoop()), path_(directory_ / "engine.sock") {}

  // An engine whose answers are `on_event_`'s: a code, 0 for OK.
  void StartEngine() {
    engine_ = std::make_unique<ScriptedServer>(
        loop_.get(), path_, [this](const ScriptedServer::Call& call) {
          CHECK(call.request.service() ==
                "containerd.services.events.ttrpc.v1.Events");
          CHECK(call.request.method() == "Forward");
          ForwardRequest forward;
          REQUIRE(forward.ParseFromString(call.request.payload()));
          events_.push_back(forward);
          const auto code = answer_ ? answer_(forward) : absl::StatusCode::kOk;
          if (code == absl::StatusCode::kOk) {
            engine_->Answer(call.stream_id, "");
          } else {
            engine_->AnswerError(call.stream_id, code, "no");
          }
        });
  }
  void Connect(const std::string& address) {
    publisher_ = std::make_unique<Publisher>(
        loop_.get(), address, "blue", &record_.outbox(),
        [this](uint64_t sequence) {
          REQUIRE(record_.outbox_size() > 0);
          CHECK(record_.outbox(0).sequence() == sequence);
          record_.mutable_outbox()->DeleteSubrange(0, 1);
        });
  }
  void Add(const std::string& topic) {
    auto* event = record_.add_outbox();
    event->set_sequence(++sequence_);
    event->set_timestamp(1'700'000'000'000'000'042);
    event->set_topic(topic);
    event->mutable_payload()->set_type_url("containerd.events.TaskStart");
    event->mutable_payload()->set_value("payload of " + topic);
  }
  std::string Topics() const {
    std::string topics;
    for (const auto& event : events_) topics += event.envelope().topic();
    return topics;
  }
  bool WaitEmpty() {
    return RunUntil(loop_.get(), [this] { return record_.outbox().empty(); });
  }
  bool Drain(milliseconds limit) {
    return Await(loop_.get(), publisher_->Drain(limit));
  }

  TempDirectory directory_;
  std::unique_ptr<EventLoop> loop_;
  const std::string path_;
  state::Record record_;
  uint64_t sequence_ = 0;
  std::unique_ptr<ScriptedServer> engine_;
  std::function<absl::StatusCode(const ForwardRequest&)> answer_;
  std::vector<ForwardRequest> events_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_CASE_METHOD(PublisherTest, "Events go out in order, one at a time") {
  StartEngine();
  Connect(path_);
  answer_ = [this](const auto& forward) {
    // The one under way is the front, and no later one has come.
    CHECK(record_.outbox(0).topic() == forward.envelope().topic());
    if (forward.envelope().topic() == "/b") {
      Add("/d");
      publisher_->Wake();
    }
    return absl::StatusCode::kOk;
  };
  Add("/a");
  Add("/b");
  Add("/c");
  publisher_->Wake();
  publisher_->Wake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b/c/d");
  const auto& envelope = events_[0].envelope();
  CHECK(envelope.namespace_() == "blue");
  CHECK(envelope.timestamp().seconds() == 1'700'000'000);
  CHECK(envelope.timestamp().nanos() == 42);
  CHECK(envelope.event().type_url() == "containerd.events.TaskStart");
  CHECK(envelope.event().value() == "payload of /a");
  CHECK(engine_->connections() == 1);
}

TEST_CASE_METHOD(PublisherTest, "An engine that comes later gets all") {
  Connect(path_);
  Add("/a");
  Add("/b");
  publisher_->Wake();
  RunFor(loop_.get(), milliseconds(30));
  CHECK(record_.outbox_size() == 2);
  StartEngine();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b");
}

TEST_CASE_METHOD(PublisherTest, "An engine that goes and comes back gets all") {
  StartEngine();
  Connect(path_);
  Add("/a");
  publisher_->Wake();
  REQUIRE(WaitEmpty());
  engine_.reset();
  Add("/b");
  publisher_->Wake();
  RunFor(loop_.get(), milliseconds(30));
  StartEngine();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b");
}

TEST_CASE_METHOD(PublisherTest, "An event that is refused for now is kept") {
  StartEngine();
  Connect(path_);
  int refusals = 2;
  answer_ = [&](const auto&) {
    return refusals-- > 0 ? absl::StatusCode::kInternal : absl::StatusCode::kOk;
  };
  Add("/a");
  Add("/b");
  publisher_->Wake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/a/a/b");
}

TEST_CASE_METHOD(PublisherTest, "An invalid event is given up, not the next") {
  StartEngine();
  Connect(path_);
  answer_ = [](const auto& forward) {
    return forward.envelope().topic() == "/a"
               ? absl::StatusCode::kInvalidArgument
               : absl::StatusCode::kOk;
  };
  Add("/a");
  Add("/b");
  publisher_->Wake();
  REQUIRE(WaitEmpty());
  CHECK(Topics() == "/a/b");
}

TEST_CASE_METHOD(PublisherTest, "Without an engine events are taken at once") {
  Connect("");
  Add("/a");
  Add("/b");
  publisher_->Wake();
  CHECK(record_.outbox().empty());
}

TEST_CASE_METHOD(PublisherTest, "Without an engine Drain does not wait") {
  Connect("");
  Add("/a");
  const auto start = EventLoop::Clock::now();
  CHECK(Drain(seconds(5)));
  CHECK(EventLoop::Clock::now() - start < seconds(4));
  CHECK(record_.outbox().empty());
}

TEST_CASE_METHOD(PublisherTest, "Drain of an empty outbox is done") {
  Connect(path_);
  CHECK(Drain(milliseconds(0)));
}

TEST_CASE_METHOD(PublisherTest, "Drain waits for the last answer") {
  StartEngine();
  Connect(path_);
  Add("/a");
  Add("/b");
  CHECK(Drain(seconds(5)));
  CHECK(Topics() == "/a/b");
  Add("/c");
  CHECK(Drain(seconds(5)));
  CHECK(Topics() == "/a/b/c");
}

TEST_CASE_METHOD(PublisherTest, "Drain gives up at its limit, and may again") {
  Connect(path_);
  Add("/a");
  CHECK_FALSE(Drain(milliseconds(20)));
  CHECK(record_.outbox_size() == 1);
  CHECK_FALSE(Drain(milliseconds(20)));
  StartEngine();
  CHECK(Drain(seconds(5)));
  CHECK(Topics() == "/a");
}

}  // namespace
}  // namespace hydra
