// The contract between the monitor and hydra-grpc, which speaks gRPC for it.
//
// hydra-grpc is started with two descriptors, beside the log on standard error:
//   kGrpcLinkFd   a SOCK_SEQPACKET socket. The monitor sends a GrpcConnection
//                 with each descriptor (SCM_RIGHTS) of a client that has begun
//                 to speak HTTP/2; nothing has been taken from it. hydra-grpc
//                 sends GrpcIdle when it has had no client for a while. The
//                 monitor closes the link when it has no more for it: because
//                 it is idle and nothing is on the way to it, or because
//                 another version is installed. Then it ends with its last
//                 connection, and the next client gets another process. It
//                 sends nobody away: gRPC's server, once told to shut down,
//                 cancels calls that come before its GOAWAY is there, and
//                 containerd takes a lost connection for a dead shim.
//   kGrpcCallsFd  a connection to the monitor, on which it is a ttrpc client as
//                 any other: its calls outlive a head.
//
// Libc only.

#ifndef HYDRA_LINK_GRPC_H_
#define HYDRA_LINK_GRPC_H_

#include <cstdint>

namespace hydra::link {

inline constexpr int kGrpcLinkFd = 3;
inline constexpr int kGrpcCallsFd = 4;
inline constexpr char kGrpcProgram[] = "hydra-grpc";

struct GrpcConnection {
  uint64_t number;  // Counted from 1.
};

struct GrpcIdle {
  uint64_t taken;  // The number of the last that came, or 0.
};

}  // namespace hydra::link

#endif  // HYDRA_LINK_GRPC_H_
