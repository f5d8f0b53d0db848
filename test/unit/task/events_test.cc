// The events of a task on their way: record, publisher and monitor together.

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "containerd/events/task.pb.h"
#include "shim/events/outbox.h"
#include "shim/task/topics.h"
#include "test/unit/task/head_fixture.h"

namespace hydra {
namespace {

using Strings = std::vector<std::string>;

Publication Taken() { return Publication(); }

class EventsTest : public HeadFixture {
 protected:
  // Execs, as far as events go.
  void EmitExecs(int count) {
    for (int i = 0; i < count; ++i) {
      containerd::events::TaskExecAdded event;
      event.set_container_id("c1");
      event.set_exec_id("e" + std::to_string(i));
      head_->instance.Emit(kTaskExecAddedTopic, event, state::RANK_EXEC);
    }
    REQUIRE(head_->instance.Save().ok());
  }
  bool OutboxEmpties() {
    return RunUntil(head_->loop.get(), [this] {
      return head_->instance.record().outbox().empty();
    });
  }
};

TEST_CASE_METHOD(EventsTest, "What the engine takes leaves the record") {
  fake_.on_publish = [](const FakeMonitor::Publish&) { return Taken(); };
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(Start().ok());
  REQUIRE(OutboxEmpties());
  Settle();
  CHECK(fake_.publishes().size() == 2);
  CHECK(fake_.known_publications() == 0);
  CHECK(SavedRecord().outbox().empty());
}

TEST_CASE_METHOD(EventsTest, "Without a word of the engine's answer: no repeat",
                 "[replay]") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(RunUntil(head_->loop.get(),
                   [&] { return fake_.publishes().size() == 1; }));
  // The engine answers; the head is killed before it has saved that.
  fake_.EndPublish(fake_.publishes()[0].key, Taken());
  RestartHead();
  REQUIRE(OutboxEmpties());
  CHECK(fake_.publishes().size() == 1);
  REQUIRE(Start().ok());
  REQUIRE(RunUntil(head_->loop.get(),
                   [&] { return fake_.publishes().size() == 2; }));
  CHECK(fake_.publishes()[1].key.token > fake_.publishes()[0].key.token);
  CHECK(Events() == Strings{"/tasks/start"});
}

TEST_CASE_METHOD(EventsTest, "Every event has a name that no operation has") {
  StartHead();
  REQUIRE(Create().ok());
  REQUIRE(RunUntil(head_->loop.get(),
                   [&] { return fake_.publishes().size() == 1; }));
  const uint64_t token = fake_.publishes()[0].key.token;
  CHECK((token & link::kEventToken) == link::kEventToken);
  CHECK((head_->monitor->NewInternalToken() & link::kEventToken) ==
        link::kInternalToken);
}

TEST_CASE_METHOD(EventsTest, "An engine away for long costs a bounded outbox") {
  StartHead();
  REQUIRE(Create().ok());
  EmitExecs(kMaxOutboxEvents + 200);
  REQUIRE(Start().ok());
  const state::Record& record = head_->instance.record();
  CHECK(record.outbox_size() == kMaxOutboxEvents);
  CHECK(record.dropped_events() == 202);
  const Strings events = Events();
  CHECK(events.front() == kTaskCreateTopic);
  CHECK(events.back() == kTaskStartTopic);
  RestartHead();
  CHECK(Events() == events);
  CHECK(head_->instance.record().dropped_events() == 202);

  // The engine is back.
  REQUIRE(RunUntil(head_->loop.get(),
                   [&] { return fake_.publishes().size() == 1; }));
  fake_.on_publish = [](const FakeMonitor::Publish&) { return Taken(); };
  fake_.EndPublish(fake_.publishes()[0].key, Taken());
  REQUIRE(OutboxEmpties());
  CHECK(fake_.publishes().size() == static_cast<size_t>(kMaxOutboxEvents));
  uint64_t last = 0;
  for (const auto& publish : fake_.publishes()) {
    CHECK(publish.key.token > last);
    last = publish.key.token;
  }
}

}  // namespace
}  // namespace hydra
