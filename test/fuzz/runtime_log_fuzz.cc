// The OCI runtime's log of JSON lines.

#include "shim/runtime/runtime_log.h"
#include "test/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hydra::Require(hydra::LastLoggedErrorIn(hydra::AsText(data, size)).size() <=
                 size);
  return 0;
}
