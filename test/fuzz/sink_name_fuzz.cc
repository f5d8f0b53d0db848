// The names of standard streams.

#include "shim/io/sink.h"
#include "test/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto sink = hydra::ParseSinkName(hydra::AsText(data, size));
  if (!sink.ok()) return 0;
  hydra::Require(sink->arguments.size() % 2 == 0);
  const bool nowhere = sink->kind == hydra::SinkKind::kNone ||
                       sink->kind == hydra::SinkKind::kNobody;
  hydra::Require(nowhere == sink->path.empty());
  return 0;
}
