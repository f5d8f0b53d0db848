// Calls to an instance, made one after the other by a program that waits.
//
// Main thread only.

#ifndef HYDRA_CMD_HYDRA_CLIENT_H_
#define HYDRA_CMD_HYDRA_CLIENT_H_

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/message_lite.h"
#include "hydra/v1/instance.pb.h"
#include "shim/base/status.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/state/instances.h"
#include "shim/ttrpc/client.h"

namespace hydra::command {

inline constexpr char kTaskService[] = "containerd.task.v2.Task";
inline constexpr char kInstanceService[] = "hydra.v1.Instance";

// Runs the loop until `work` has come to its end.
template <typename T>
T Await(EventLoop* loop, Async<T> work) {
  std::optional<T> result;
  struct Body {
    static Async<void> Run(EventLoop* its_loop, Async<T> its_work,
                           std::optional<T>* to) {
      to->emplace(co_await its_work);
      its_loop->Quit();
    }
  };
  Detach(Body::Run(loop, std::move(work), &result));
  // What ends at once has quit a loop that did not run.
  while (!result.has_value()) loop->Run();
  return *std::move(result);
}

class Client final {
 public:
  // `timeout` is for each call; zero: none. Without a loop that outlives it, it
  // has its own.
  Client(FoundInstance instance, std::chrono::milliseconds timeout,
         EventLoop* loop = nullptr);

  const FoundInstance& instance() const { return instance_; }
  EventLoop* loop() { return loop_; }

  // Unavailable: nobody listens there. Else as the method says.
  template <typename Response = google::protobuf::Empty>
  absl::StatusOr<Response> Task(const char* method,
                                const google::protobuf::MessageLite& request) {
    return Parsed<Response>(Call(kTaskService, method, request));
  }
  template <typename Response>
  absl::StatusOr<Response> Instance(
      const char* method, const google::protobuf::MessageLite& request) {
    return Parsed<Response>(Call(kInstanceService, method, request));
  }

  absl::StatusOr<v1::InspectResponse> Inspect() {
    return Instance<v1::InspectResponse>("Inspect", v1::InspectRequest());
  }
  // The same for who waits for several.
  template <typename Response>
  Async<absl::StatusOr<Response>> BeginInstance(const char* method,
                                                std::string request) {
    absl::StatusOr<std::string> bytes = co_await ttrpc_.Call(
        kInstanceService, method, std::move(request), timeout_);
    co_return Parsed<Response>(std::move(bytes));
  }

  // What the calls from here on do, for people who wait: "stopping". Empty:
  // nothing is shown.
  void SetProgress(std::string what) { progress_ = std::move(what); }

  // One that is not waited for yet, and has no limit but the caller's.
  Async<absl::StatusOr<std::string>> Begin(std::string service,
                                           std::string method,
                                           std::string request,
                                           Future<bool> cancelled = {});
  template <typename Response>
  static absl::StatusOr<Response> Parsed(absl::StatusOr<std::string> bytes) {
    if (!bytes.ok()) return bytes.status();
    Response response;
    if (!response.ParseFromString(*bytes)) {
      return Internal("the answer does not parse");
    }
    return response;
  }
  std::chrono::milliseconds timeout() const { return timeout_; }

 private:
  absl::StatusOr<std::string> Call(
      const char* service, const char* method,
      const google::protobuf::MessageLite& request);
  const FoundInstance instance_;
  const std::chrono::milliseconds timeout_;
  std::string progress_;
  const std::unique_ptr<EventLoop> own_loop_;
  EventLoop* const loop_;
  ttrpc::Client ttrpc_;
};

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_CLIENT_H_
