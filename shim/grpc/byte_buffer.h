// Messages as bytes, and as gRPC has them. Any thread.

#ifndef HYDRA_GRPC_BYTE_BUFFER_H_
#define HYDRA_GRPC_BYTE_BUFFER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <vector>

namespace hydra {

inline std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  // Only fails for a buffer that is invalid, which a received one is not.
  (void)buffer.Dump(&slices);
  std::string bytes;
  for (const auto& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

inline grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace hydra

#endif  // HYDRA_GRPC_BYTE_BUFFER_H_
