// The shim of the tests is never a head.

#include "cmd/containerd-shim-hydra-v1/serve.h"

int hydra::Serve(const Flags&) { return 2; }
