// Requests to methods, by name.
//
// A request has the monitor's token, and may be a replay. Names and texts for
// what is not known are those of containerd's ttrpc. What comes over gRPC has
// become a ttrpc request before (shim/grpc).
//
// Loop thread only.

#ifndef HYDRA_RPC_DISPATCHER_H_
#define HYDRA_RPC_DISPATCHER_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "shim/event/async.h"
#include "shim/link/client.h"
#include "shim/rpc/instance_service.h"
#include "shim/task/instance.h"
#include "shim/task/task_service.h"

namespace hydra {

class Dispatcher final {
 public:
  // If `broken` is not OK, the instance's state could not be read: it is the
  // answer to everything that needs it.
  Dispatcher(Instance* instance, TaskService* tasks, InstanceService* itself,
             absl::Status broken);
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // A ttrpc request. Answers it, now or later, through the monitor.
  void OnRequest(MonitorClient::Request request);
  void OnCancelled(uint64_t token);

  // No request is being worked on; some may wait.
  bool idle() const { return working_ == 0 && !ending_; }

  // Whether the token is of a request that has no answer yet.
  bool IsPending(uint64_t token) const { return pending_.contains(token); }
  bool AnyPending() const { return !pending_.empty(); }

 private:
  using Method = std::function<Async<absl::StatusOr<std::string>>(
      Call call, std::string payload)>;
  struct Entry {
    Method method;
    // Changes the record: its answer is saved together with the change.
    bool mutates = false;
    // Only waits for what happens elsewhere.
    bool waits = false;
    // Answers also when the record could not be read.
    bool needs_record = true;
  };
  using Methods = std::map<std::string, Entry, std::less<>>;

  template <typename Service, typename Request, typename Response>
  static Entry MakeEntry(
      Service* service,
      Async<absl::StatusOr<Response>> (Service::*method)(Call, Request));
  template <typename Request, typename Response>
  void Add(const char* name, bool mutates,
           Async<absl::StatusOr<Response>> (TaskService::*method)(Call,
                                                                  Request));
  // Calls the method. Shutdown first waits for the others, a second at most: a
  // Kill whose container its owner removed at once is still to be answered.
  Async<absl::StatusOr<std::string>> Run(const Entry* entry,
                                         std::string_view method, Call call,
                                         std::string payload);
  absl::StatusOr<const Entry*> Find(const std::string& service,
                                    const std::string& method) const;
  Async<void> Answer(uint64_t token, std::string service, std::string method,
                     std::string payload);
  void Respond(uint64_t token, const std::string& response, bool mutates);
  static absl::Status FaultOf(const link::Request& request);

  Instance& instance_;
  TaskService& tasks_;
  const absl::Status broken_;
  Methods task_methods_;
  Methods instance_methods_;
  // Requests that do something, so neither Wait nor Shutdown.
  int working_ = 0;
  bool ending_ = false;  // After a Shutdown.
  Future<bool> all_done_;
  // By token: set when its connection goes.
  std::map<uint64_t, Future<bool>> pending_;
};

}  // namespace hydra

#endif  // HYDRA_RPC_DISPATCHER_H_
