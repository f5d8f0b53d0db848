// A bundle's config.json.

#include "shim/oci/spec.h"
#include "test/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)hydra::ParseSpec(hydra::AsText(data, size));
  return 0;
}
