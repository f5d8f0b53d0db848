// The state that a monitor takes over from its predecessor. The hash at its end
// is made right, so that what is behind it is reached.

#include <errno.h>

#include <memory>
#include <vector>

#include "shim/monitor/monitor.h"
#include "shim/monitor/state.h"
#include "test/fuzz/fuzz_input.h"

using hydra::monitor::MakeStateFile;
using hydra::monitor::Monitor;
using hydra::monitor::MonitorOptions;
using hydra::monitor::StateReader;

static uint64_t Hash(std::string_view bytes) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : bytes) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < sizeof(uint64_t)) return 0;
  std::string state(hydra::AsText(data, size - sizeof(uint64_t)));
  const uint64_t hash = Hash(state);
  state.append(reinterpret_cast<const char*>(&hash), sizeof(hash));
  const hydra::UniqueFd file = MakeStateFile(state);
  hydra::Require(file.valid());
  MonitorOptions options;
  options.directory = "/";
  options.socket_path = "/nowhere";
  options.head_argv = {"head"};
  // As a trial run does: no descriptor is touched.
  Monitor monitor(options);
  uint64_t oldest = 0;
  const int error = monitor.Check(file.get(), &oldest);
  hydra::Require(error == 0 || error == EBADMSG || error == ENOTSUP);
  return 0;
}
