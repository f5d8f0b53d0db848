// The kernel's files of numbers.

#include "io/containerd/cgroups/v2/metrics.pb.h"
#include "shim/cgroup/kernel_file.h"
#include "test/fuzz/fuzz_input.h"

using io::containerd::cgroups::v2::MemoryStat;
using io::containerd::cgroups::v2::Metrics;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = hydra::AsText(data, size);
  (void)hydra::ParseNumber(text);
  static constexpr hydra::KeyField<MemoryStat> kFields[] = {
      {"anon", &MemoryStat::set_anon},
      {"file", &MemoryStat::set_file},
      {"slab", &MemoryStat::set_slab},
  };
  MemoryStat stat;
  (void)hydra::ParseKeyValues(text, "memory.stat", kFields, stat);
  Metrics metrics;
  hydra::ParseRdma(text, *metrics.mutable_rdma()->mutable_current());
  return 0;
}
