// The descriptors of all contracts: the classes that are made of them have
// none.

#ifndef HYDRA_TEST_UNIT_BASE_CONTRACTS_H_
#define HYDRA_TEST_UNIT_BASE_CONTRACTS_H_

#include <string_view>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "proto/descriptors.h"

namespace hydra {

inline const google::protobuf::DescriptorPool& Contracts() {
  static const auto* contracts = [] {
    auto* pool = new google::protobuf::DescriptorPool;
    google::protobuf::FileDescriptorSet set;
    const std::string_view encoded = EncodedDescriptors();
    set.ParseFromArray(encoded.data(), static_cast<int>(encoded.size()));
    for (const auto& file : set.file()) pool->BuildFile(file);
    return pool;
  }();
  return *contracts;
}

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_BASE_CONTRACTS_H_
