// hydra.v1.Instance (proto/hydra/v1/instance.proto), without a transport.
//
// Loop thread only.

#ifndef HYDRA_RPC_INSTANCE_SERVICE_H_
#define HYDRA_RPC_INSTANCE_SERVICE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hydra/v1/instance.pb.h"
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
  InstanceService(Instance* instance, std::vector<std::string> trial);
  InstanceService(const InstanceService&) = delete;
  InstanceService& operator=(const InstanceService&) = delete;

  Reply<v1::InspectResponse> Inspect(Call call, v1::InspectRequest request);
  // If it works, the head that is asked does not live to answer: the next one
  // gets the request again, and the outcome with it.
  Reply<v1::UpgradeResponse> Upgrade(Call call, v1::UpgradeRequest request);

 private:
  Async<absl::StatusOr<MonitorStatus>> AskMonitor(uint64_t token);

  Instance& instance_;
  const std::vector<std::string> trial_;
};

}  // namespace hydra

#endif  // HYDRA_RPC_INSTANCE_SERVICE_H_
