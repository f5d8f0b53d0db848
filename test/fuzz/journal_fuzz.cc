// The log of a container's output, as it is read from the disk. Input: two
// bytes of what to ask for, and a segment.

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "shim/base/file.h"
#include "shim/io/journal_reader.h"
#include "test/fuzz/fuzz_input.h"

namespace {

constexpr size_t kMaxBytes = 64 << 10;

// In memory, for as long as this process is.
const std::string& Directory() {
  static const std::string directory = [] {
    char path[] = "/dev/shm/hydra-fuzz-XXXXXX";
    hydra::Require(mkdtemp(path) != nullptr);
    static std::string made;
    made = path;
    atexit([] {
      unlink((made + "/0000000000000000").c_str());
      rmdir(made.c_str());
    });
    return made;
  }();
  return directory;
}

void CheckBatch(const absl::StatusOr<hydra::JournalReader::Batch>& batch,
                size_t journal) {
  if (!batch.ok()) {
    hydra::Require(batch.status().code() == absl::StatusCode::kDataLoss);
    return;
  }
  size_t bytes = 0;
  uint64_t position = 0;
  for (const hydra::JournalEntry& entry : batch->entries) {
    hydra::Require(bytes == 0 || entry.position > position);
    position = entry.position;
    bytes += entry.data.size();
  }
  hydra::Require(bytes <= journal);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint64_t first = data[0];
  const uint64_t second = data[1];
  const std::string journal(hydra::AsText(data + 2, size - 2));
  hydra::Require(
      hydra::ReplaceFile(Directory() + "/0000000000000000", journal, 0600)
          .ok());
  const hydra::JournalReader reader(Directory());
  CheckBatch(reader.Read(0, kMaxBytes), journal.size());
  CheckBatch(reader.Read(first, second * 16), journal.size());
  CheckBatch(reader.ReadLines(first, kMaxBytes), journal.size());
  CheckBatch(reader.ReadBytes(second, kMaxBytes), journal.size());
  (void)reader.FindTime(static_cast<int64_t>(first) << 56);
  (void)reader.End();
  return 0;
}
