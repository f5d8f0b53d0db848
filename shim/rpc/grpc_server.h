// gRPC on connections that somebody else has accepted.
//
// Serves containerd.task.v2.Task, containerd.task.v3.Task, hydra.v1.Instance,
// health (grpc.health.v1) and reflection. gRPC's threads start with the first
// connection, so that an instance that only an engine talks to has none.
//
// Adopt() and the destructor: loop thread. Handlers are posted to the loop.

#ifndef HYDRA_RPC_GRPC_SERVER_H_
#define HYDRA_RPC_GRPC_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <utility>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/event/event_loop.h"
#include "shim/rpc/dispatcher.h"

namespace hydra {

class GrpcServer final {
 public:
  GrpcServer(EventLoop* loop, MonitorClient* monitor, Dispatcher* dispatcher);
  GrpcServer(const GrpcServer&) = delete;
  GrpcServer& operator=(const GrpcServer&) = delete;
  // Ends calls that are under way after a short grace.
  ~GrpcServer();

  // Serves on a connected stream socket; closed when its peer is gone.
  void Adopt(UniqueFd connection);
  // Whether a connection is open.
  bool connected();

 private:
  class Impl;

  EventLoop* const loop_;
  MonitorClient* const monitor_;
  Dispatcher* const dispatcher_;
  std::unique_ptr<Impl> impl_;
  // gRPC does not say when it closes one: descriptor and inode of each.
  std::vector<std::pair<int, ino_t>> connections_;
};

}  // namespace hydra

#endif  // HYDRA_RPC_GRPC_SERVER_H_
