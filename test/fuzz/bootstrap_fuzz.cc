// What an engine writes to `start`'s standard input.

#include "cmd/containerd-shim-hydra-v1/bootstrap.h"
#include "test/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hydra::Flags flags;
  flags.id = "c1";
  flags.container_namespace = "blue";
  const auto bootstrap =
      hydra::DecodeBootstrap(std::string(hydra::AsText(data, size)), flags);
  if (bootstrap.ok()) (void)hydra::EncodeAnswer(*bootstrap, "unix:///x");
  return 0;
}
