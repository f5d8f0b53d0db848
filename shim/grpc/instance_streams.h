// The streaming methods of hydra.v1.Instance, made of the unary ones that the
// instance serves over ttrpc; proto/hydra/v1/instance.proto says what they do.
//
// A stream asks for what comes next with a call that waits for it, and asks
// again when the client has taken that: it keeps no more than one answer. The
// calls outlive a head, so the streams do. A client that has gone ends the call
// that waits.
//
// Loop thread only. A method's result is the stream's status; Cancelled if the
// client has gone.

#ifndef HYDRA_GRPC_INSTANCE_STREAMS_H_
#define HYDRA_GRPC_INSTANCE_STREAMS_H_

#include <memory>

#include "absl/status/status.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/grpc/stream.h"
#include "shim/ttrpc/client.h"

namespace hydra {

// Both outlive all streams.
struct InstanceAccess {
  EventLoop* loop;
  ttrpc::Client* client;
};

Async<absl::Status> ServeLogs(InstanceAccess instance,
                              std::shared_ptr<Stream> stream);
Async<absl::Status> ServeEvents(InstanceAccess instance,
                                std::shared_ptr<Stream> stream);
Async<absl::Status> ServeAttach(InstanceAccess instance,
                                std::shared_ptr<Stream> stream);

}  // namespace hydra

#endif  // HYDRA_GRPC_INSTANCE_STREAMS_H_
