// containerd's task events, followed over its gRPC API.
//
// The constructor returns when the subscription is known to be in force. A
// thread of its own collects; the public methods are for the main thread.
// When containerd ends, the stream does too, and a new object is needed.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_EVENTS_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_EVENTS_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "test/integration/harness/session.h"

namespace grpc {
class ClientContext;
}

namespace hydra::testing {

struct TaskEvent {
  std::string topic;
  std::string container_id;
  // The exec's id; for /tasks/exit what `id` says, the container's id for its
  // init.
  std::string exec_id;
  uint32_t pid = 0;
  uint32_t exit_status = 0;
};

class Events final {
 public:
  // `socket` is containerd's gRPC socket; only events of `ns` are kept.
  Events(const std::string& socket, const std::string& ns);
  ~Events();
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  // The first event, past or to come, that `matches`; nullopt at the limit.
  std::optional<TaskEvent> WaitFor(
      const std::function<bool(const TaskEvent&)>& matches,
      Milliseconds limit = kPatience);
  // The same for a topic such as "/tasks/exit" of one container.
  std::optional<TaskEvent> WaitFor(const std::string& topic,
                                   const std::string& container_id,
                                   Milliseconds limit = kPatience);

  // Those of one container so far, in the order of arrival; all containers'
  // if `container_id` is empty.
  std::vector<TaskEvent> Of(const std::string& container_id) const;

  // "create start exit=0 delete=0", with exec ids in brackets: what two
  // runtimes can be compared by.
  std::string Summary(const std::string& container_id) const;

 private:
  void Follow();

  std::string ns_;
  struct Stream;
  std::unique_ptr<Stream> stream_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<TaskEvent> events_;
  bool ready_ = false;
  std::thread thread_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_EVENTS_H_
