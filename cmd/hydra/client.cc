#include "cmd/hydra/client.h"

#include "cmd/hydra/progress.h"

namespace hydra::command {
namespace {

std::unique_ptr<EventLoop> MakeLoop() {
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  // Only for want of descriptors, of which this program has four.
  if (!loop.ok()) abort();
  return *std::move(loop);
}

}  // namespace

Client::Client(FoundInstance instance, std::chrono::milliseconds timeout,
               EventLoop* loop)
    : instance_(std::move(instance)),
      timeout_(timeout),
      own_loop_(loop == nullptr ? MakeLoop() : nullptr),
      loop_(loop == nullptr ? own_loop_.get() : loop),
      ttrpc_(loop_, instance_.socket, instance_.container_namespace) {}

Async<absl::StatusOr<std::string>> Client::Begin(std::string service,
                                                 std::string method,
                                                 std::string request,
                                                 Future<bool> cancelled) {
  return ttrpc_.Call(std::move(service), std::move(method), std::move(request),
                     {}, std::move(cancelled));
}

absl::StatusOr<std::string> Client::Call(
    const char* service, const char* method,
    const google::protobuf::MessageLite& request) {
  const Progress progress(
      loop_, progress_.empty() ? "" : progress_ + " " + instance_.id);
  return Await(loop_, ttrpc_.Call(service, method, request.SerializeAsString(),
                                  timeout_));
}

}  // namespace hydra::command
