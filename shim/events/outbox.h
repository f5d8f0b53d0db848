// What an outbox may cost while the engine is away, and what goes first.
//
// The outbox is part of the record, which is written as a whole at each
// change: see state/record.h. With the engine gone nobody creates containers,
// but a gRPC client may run execs in one for as long as it likes.
//
// Past either bound the events of the highest rank go, the oldest first, until
// both hold or none is left that may go:
//   RANK_EXEC        exec-added, exec-started: the exec's exit says more
//   RANK_STATE       paused, resumed: State tells which it is now
//   RANK_EXEC_EXIT   exits of execs, OOM
//   RANK_KEPT        create, start, exit and delete of the container: never
// The order of what stays is the order of the outbox. The first event is never
// dropped, because it may be under way.
//
// Any thread.

#ifndef HYDRA_EVENTS_OUTBOX_H_
#define HYDRA_EVENTS_OUTBOX_H_

#include <cstddef>

#include "hydra/state.pb.h"

namespace hydra {

inline constexpr int kMaxOutboxEvents = 1000;
inline constexpr size_t kMaxOutboxBytes = 256 << 10;

// What is kept of the events for those who ask for them (hydra.v1): the last
// ones, whatever has become of them. It is part of every save, too.
inline constexpr int kMaxHistoryEvents = 256;
inline constexpr size_t kMaxHistoryBytes = 64 << 10;

// Drops the oldest until the bounds hold.
void BoundHistory(google::protobuf::RepeatedPtrField<state::Event>* history);

// Makes the bounds hold as far as the ranks allow. How many were dropped.
int BoundOutbox(google::protobuf::RepeatedPtrField<state::Event>* outbox);

}  // namespace hydra

#endif  // HYDRA_EVENTS_OUTBOX_H_
