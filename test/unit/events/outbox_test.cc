#include "shim/events/outbox.h"

#include <catch2/catch.hpp>
#include <string>

namespace hydra {
namespace {

class OutboxTest {
 protected:
  void Add(state::EventRank rank, int count, size_t size = 10) {
    for (int i = 0; i < count; ++i) {
      auto* event = outbox_.Add();
      event->set_sequence(++sequence_);
      event->set_rank(rank);
      event->mutable_payload()->set_value(std::string(size, 'x'));
    }
  }
  int Count(state::EventRank rank) const {
    int count = 0;
    for (const auto& event : outbox_) count += event.rank() == rank ? 1 : 0;
    return count;
  }
  bool InOrder() const {
    uint64_t last = 0;
    for (const auto& event : outbox_) {
      if (event.sequence() <= last) return false;
      last = event.sequence();
    }
    return true;
  }

  google::protobuf::RepeatedPtrField<state::Event> outbox_;
  uint64_t sequence_ = 0;
};

TEST_CASE_METHOD(OutboxTest, "Within the bounds nothing is dropped") {
  Add(state::RANK_EXEC, kMaxOutboxEvents);
  CHECK(BoundOutbox(&outbox_) == 0);
  CHECK(outbox_.size() == kMaxOutboxEvents);
}

TEST_CASE_METHOD(OutboxTest, "The highest rank goes first, its oldest first") {
  Add(state::RANK_KEPT, 10);
  Add(state::RANK_EXEC_EXIT, 500);
  Add(state::RANK_STATE, 20);
  Add(state::RANK_EXEC, 470);
  CHECK(BoundOutbox(&outbox_) == 0);
  Add(state::RANK_EXEC, 3);
  CHECK(BoundOutbox(&outbox_) == 3);
  CHECK(Count(state::RANK_EXEC) == 470);
  // The first of them were 531 to 533.
  CHECK(outbox_[530].sequence() == 534);
  Add(state::RANK_EXEC_EXIT, 475);
  CHECK(BoundOutbox(&outbox_) == 475);
  CHECK(Count(state::RANK_EXEC) == 0);
  CHECK(Count(state::RANK_STATE) == 15);
  CHECK(Count(state::RANK_EXEC_EXIT) == 975);
  CHECK(InOrder());
}

TEST_CASE_METHOD(OutboxTest, "What tells of the container is never dropped") {
  Add(state::RANK_KEPT, kMaxOutboxEvents + 50);
  Add(state::RANK_EXEC_EXIT, 7);
  CHECK(BoundOutbox(&outbox_) == 7);
  CHECK(outbox_.size() == kMaxOutboxEvents + 50);
}

TEST_CASE_METHOD(OutboxTest, "Bytes are bounded as well") {
  Add(state::RANK_KEPT, 1, 1000);
  Add(state::RANK_EXEC, 5, kMaxOutboxBytes / 4);
  CHECK(BoundOutbox(&outbox_) == 2);
  CHECK(outbox_.size() == 4);
  CHECK(outbox_[0].rank() == state::RANK_KEPT);
}

TEST_CASE_METHOD(OutboxTest, "The first, which may be under way, stays") {
  Add(state::RANK_EXEC, kMaxOutboxEvents + 1);
  CHECK(BoundOutbox(&outbox_) == 1);
  CHECK(outbox_[0].sequence() == 1);
  CHECK(outbox_[1].sequence() == 3);
}

}  // namespace
}  // namespace hydra
