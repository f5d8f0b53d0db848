// The TOML of the runtime's options.

#include "shim/runtime/options.h"
#include "test/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)hydra::ParseOptionsToml(hydra::AsText(data, size), "fuzz");
  return 0;
}
