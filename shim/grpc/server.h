// gRPC on connections that somebody else has accepted. Each unary call becomes
// a call of a ttrpc client, whose answer is the call's; a streaming one becomes
// several (instance_streams.h).
//
// Serves containerd.task.v2.Task, containerd.task.v3.Task, hydra.v1.Instance,
// health (grpc.health.v1) and reflection.
//
// Loop thread only; gRPC's own threads post to the loop.

#ifndef HYDRA_GRPC_SERVER_H_
#define HYDRA_GRPC_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"
#include "shim/event/event_loop.h"
#include "shim/ttrpc/client.h"

namespace hydra {

class GrpcServer final {
 public:
  // Both outlive it. Internal: gRPC could not start.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Create(
      EventLoop* loop, ttrpc::Client* instance);
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;
  ~GrpcServer();

  // Serves on a connected stream socket; closed when its peer is gone.
  void Adopt(UniqueFd connection);
  // Whether a connection is open.
  bool connected();
  // Calls that have no answer yet, and streams that have not ended.
  int calls() const;

 private:
  class Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
  // gRPC does not say when it closes one: descriptor and inode of each.
  std::vector<std::pair<int, ino_t>> connections_;
};

}  // namespace hydra

#endif  // HYDRA_GRPC_SERVER_H_
