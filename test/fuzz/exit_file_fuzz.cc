// The monitor's exit file, as `delete` and a later monitor read it.

#include "shim/monitor/exit_file.h"
#include "test/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const hydra::MemoryFile file(hydra::AsText(data, size));
  const std::string path = file.path();
  hydra::monitor::ExitFileContents contents;
  const int error = hydra::monitor::ReadExitFile(path.c_str(), &contents);
  hydra::Require(error != 0 || contents.records.size() <= size / 64);
  hydra::monitor::ExitFile writer(path.c_str());
  if (writer.Open() != 0) return 0;
  hydra::Require(writer.Record({42, 7, 0, 1}) == 0);
  hydra::monitor::ExitFileContents after;
  hydra::Require(hydra::monitor::ReadExitFile(path.c_str(), &after) == 0);
  bool found = false;
  for (const auto& record : after.records) {
    found = found || (record.process == 42 && record.pid == 7);
  }
  hydra::Require(found);
  return 0;
}
