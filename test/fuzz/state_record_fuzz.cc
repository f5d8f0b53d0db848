// state.pb: as it comes, and with the header that gets it to the parser.

#include <cstring>

#include "shim/state/record.h"
#include "test/fuzz/fuzz_input.h"

static void Append(std::string* file, uint64_t number) {
  file->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// One slot with `body`, the other one empty.
static std::string WithHeader(std::string_view body) {
  std::string hashed;
  Append(&hashed, 1);
  Append(&hashed, body.size());
  hashed.append(body);
  uint64_t hash = 14695981039346656037u;  // FNV-1a, as the file has it.
  for (const char c : hashed) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  const size_t slot_size = body.size() + 4096;
  std::string file("HYDRAST2");
  Append(&file, slot_size);
  Append(&file, 1);
  Append(&file, body.size());
  Append(&file, hash);
  file.append(body);
  file.resize(16 + 2 * slot_size);
  return file;
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
