#include "proto/descriptors.h"

// C++20 has no #embed.
asm(".pushsection .rodata.hydra_descriptors,\"a\",@progbits\n"
    "hydra_descriptors: .incbin \"" HYDRA_DESCRIPTORS
    "\"\n"
    "hydra_descriptors_end:\n"
    ".popsection");

extern "C" {
__attribute__((visibility("hidden"))) extern const char hydra_descriptors[];
__attribute__((visibility("hidden"))) extern const char hydra_descriptors_end[];
}

namespace hydra {

std::string_view EncodedDescriptors() {
  return {hydra_descriptors, hydra_descriptors_end};
}

}  // namespace hydra
