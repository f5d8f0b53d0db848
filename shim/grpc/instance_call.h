// Typed calls of the instance, and typed messages of a stream's client.
//
// Loop thread only.

#ifndef HYDRA_GRPC_INSTANCE_CALL_H_
#define HYDRA_GRPC_INSTANCE_CALL_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "shim/base/status.h"
#include "shim/event/async.h"
#include "shim/grpc/stream.h"
#include "shim/ttrpc/client.h"

namespace hydra {

inline constexpr char kInstanceService[] = "hydra.v1.Instance";
inline constexpr char kTaskService[] = "containerd.task.v2.Task";

// Errors as ttrpc::Client::Call; Cancelled when `stop` was set.
template <typename Response, typename Request>
Async<absl::StatusOr<Response>> CallInstance(ttrpc::Client* client,
                                             std::string service,
                                             std::string method,
                                             Request request,
                                             Future<bool> stop) {
  const absl::StatusOr<std::string> payload = co_await client->Call(
      std::move(service), std::move(method), request.SerializeAsString(),
      std::chrono::milliseconds(0), std::move(stop));
  if (!payload.ok()) co_return payload.status();
  Response response;
  if (!response.ParseFromString(*payload)) {
    co_return Internal("answer of the instance: not a " +
                       response.GetTypeName());
  }
  co_return response;
}

// The one request of a method that streams its answers.
template <typename Request>
Async<absl::StatusOr<Request>> ReadRequest(std::shared_ptr<Stream> stream) {
  const std::optional<std::string> bytes = co_await stream->Read();
  Request request;
  if (!bytes.has_value()) {
    co_return InvalidArgument("no " + request.GetTypeName() + " has come");
  }
  if (!request.ParseFromString(*bytes)) {
    co_return InvalidArgument("unmarshal request error: not a " +
                              request.GetTypeName());
  }
  co_return request;
}

inline absl::Status ClientHasGone() {
  return MakeError(absl::StatusCode::kCancelled, "context canceled");
}

}  // namespace hydra

#endif  // HYDRA_GRPC_INSTANCE_CALL_H_
