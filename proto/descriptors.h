// The descriptors of all contracts, for reflection: generated code has none.

#ifndef HYDRA_PROTO_DESCRIPTORS_H_
#define HYDRA_PROTO_DESCRIPTORS_H_

#include <string_view>

namespace hydra {

// A google.protobuf.FileDescriptorSet, every file after those that it imports,
// protobuf's own among them. Part of the program: no page of it is in memory
// before it is read. Any thread.
std::string_view EncodedDescriptors();

}  // namespace hydra

#endif  // HYDRA_PROTO_DESCRIPTORS_H_
