// A Stream whose client speaks gRPC.

#ifndef HYDRA_GRPC_GRPC_STREAM_H_
#define HYDRA_GRPC_GRPC_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/grpc/stream.h"

namespace hydra {

// What serves a call; its result is the call's status.
using StreamMethod =
    std::function<Async<absl::Status>(std::shared_ptr<Stream>)>;

// For a call that has just come, on gRPC's threads: has `method` serve it on
// the loop. gRPC owns the result. To gRPC every streaming method is one that
// streams both ways, which on the wire makes no difference.
//
// `streams`, of the loop's thread, counts those whose last word is not on its
// way yet; past `most` of them a call is refused (ResourceExhausted).
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeStream(
    EventLoop* loop, StreamMethod method, int* streams, int most);

}  // namespace hydra

#endif  // HYDRA_GRPC_GRPC_STREAM_H_
