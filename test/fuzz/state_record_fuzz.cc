// state.pb: as it comes, and with the header that gets it to the parser.

#include <cstring>

#include "shim/state/record.h"
#include "test/fuzz/fuzz_input.h"

static std::string WithHeader(std::string_view body) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a, as the file has it.
  for (const char c : body) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  const uint64_t length = body.size();
  std::string file("HYDRAST1");
  file.append(reinterpret_cast<const char*>(&length), sizeof(length));
  file.append(reinterpret_cast<const char*>(&hash), sizeof(hash));
  return file.append(body);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = hydra::AsText(data, size);
  const hydra::MemoryFile raw(text);
  (void)hydra::RecordFile(raw.path()).Load();
  const hydra::MemoryFile framed(WithHeader(text));
  const auto loaded = hydra::RecordFile(framed.path()).Load();
  if (!loaded.ok()) return 0;
  hydra::Require(loaded->format_version() <= hydra::kRecordVersion);
  hydra::Require(loaded->boot_id() == hydra::BootId());
  return 0;
}
