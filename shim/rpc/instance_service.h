// hydra.v1.Instance (proto/hydra/v1/instance.proto), without a transport.
//
// Loop thread only.

#ifndef HYDRA_RPC_INSTANCE_SERVICE_H_
#define HYDRA_RPC_INSTANCE_SERVICE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hydra/v1/container.pb.h"
#include "hydra/v1/events.pb.h"
#include "hydra/v1/instance.pb.h"
#include "hydra/v1/log.pb.h"
#include "shim/event/async.h"
#include "shim/task/instance.h"
#include "shim/task/task_service.h"

namespace hydra {

class InstanceService final {
 public:
  template <typename T>
  using Reply = Async<absl::StatusOr<T>>;

  // `trial` are the arguments with which a head's program tells whether it
  // could serve this instance (the verb `check`).
  InstanceService(Instance* instance, TaskService* tasks,
                  std::vector<std::string> trial);
  InstanceService(const InstanceService&) = delete;
  InstanceService& operator=(const InstanceService&) = delete;

  Reply<v1::InspectResponse> Inspect(Call call, v1::InspectRequest request);
  // If it works, the head that is asked does not live to answer: the next one
  // gets the request again, and the outcome with it.
  Reply<v1::UpgradeResponse> Upgrade(Call call, v1::UpgradeRequest request);

  // In instance_log.cc.
  Reply<v1::ReadLogResponse> ReadLog(Call call, v1::ReadLogRequest request);
  Reply<v1::ReadEventsResponse> ReadEvents(Call call,
                                           v1::ReadEventsRequest request);
  Reply<v1::WriteInputResponse> WriteInput(Call call,
                                           v1::WriteInputRequest request);

  // In instance_container.cc.
  Reply<v1::RunResponse> Run(Call call, v1::RunRequest request);
  Reply<v1::StopResponse> Stop(Call call, v1::StopRequest request);
  Reply<v1::RestartResponse> Restart(Call call, v1::RestartRequest request);
  Reply<v1::RemoveResponse> Remove(Call call, v1::RemoveRequest request);

 private:
  void DescribeContainer(const MonitorStatus& status, v1::Container* container);
  bool LogHasEnded();
  Async<absl::StatusOr<MonitorStatus>> AskMonitor(uint64_t token);

  Instance& instance_;
  TaskService& tasks_;
  const std::vector<std::string> trial_;
};

}  // namespace hydra

#endif  // HYDRA_RPC_INSTANCE_SERVICE_H_
