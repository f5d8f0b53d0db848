#include "shim/events/outbox.h"

namespace hydra {
namespace {

using Outbox = google::protobuf::RepeatedPtrField<state::Event>;

// The oldest of the highest rank; 0 if none may go.
int FindVictim(const Outbox& outbox) {
  int victim = 0;
  int rank = state::RANK_KEPT;
  for (int i = 1; i < outbox.size(); ++i) {
    if (outbox[i].rank() > rank) {
      rank = outbox[i].rank();
      victim = i;
    }
  }
  return victim;
}

}  // namespace

void BoundHistory(Outbox* history) {
  size_t bytes = 0;
  for (const auto& event : *history) bytes += event.ByteSizeLong();
  int drop = 0;
  while (drop < history->size() &&
         (history->size() - drop > kMaxHistoryEvents ||
          bytes > kMaxHistoryBytes)) {
    bytes -= history->Get(drop++).ByteSizeLong();
  }
  history->DeleteSubrange(0, drop);
}

int BoundOutbox(Outbox* outbox) {
  size_t bytes = 0;
  for (const auto& event : *outbox) bytes += event.ByteSizeLong();
  int dropped = 0;
  while (outbox->size() > kMaxOutboxEvents || bytes > kMaxOutboxBytes) {
    const int victim = FindVictim(*outbox);
    if (victim == 0) break;
    bytes -= outbox->Get(victim).ByteSizeLong();
    outbox->DeleteSubrange(victim, 1);
    ++dropped;
  }
  return dropped;
}

}  // namespace hydra
