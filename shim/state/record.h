// The head's record of its instance, on disk and back.
//
// Loop thread only.

#ifndef HYDRA_STATE_RECORD_H_
#define HYDRA_STATE_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "hydra/state.pb.h"
#include "shim/base/unique_fd.h"

namespace hydra {

// The highest version that this head reads; hydra/state.proto has the rule.
inline constexpr uint32_t kRecordVersion = 1;
// What it writes: the lowest version that reads all that a record can hold now.
inline constexpr uint32_t kRecordNeeds = 1;
static_assert(kRecordNeeds <= kRecordVersion);

// The file has two slots. A Save overwrites the older one in place, so that
// a head which dies meanwhile leaves the other, and is one pwrite(2) of memory
// that is there already: it takes microseconds, and works on a full disk.
// There is one writer at a time. A record that a slot has no room for gets a
// new file, written beside the old one and renamed.
class RecordFile final {
 public:
  // `path` is state.pb's; its directory must exist when Save() is called.
  explicit RecordFile(std::string path) : path_(std::move(path)) {}

  // What was saved last. NotFound: there is no file. DataLoss: it is cut
  // short, not ours, damaged, or of a boot before this one.
  // FailedPrecondition: a newer format. Each names the file.
  absl::StatusOr<state::Record> Load();

  // Survives the death of this process, not that of the machine, which no
  // container outlives: nothing is synced. An errno's status
  // (ResourceExhausted for ENOSPC) if it could not be written; what was saved
  // before stands then.
  absl::Status Save(const state::Record& record);

 private:
  absl::Status Overwrite(std::string_view slot);
  absl::Status Rewrite(std::string_view slot);

  const std::string path_;
  uint64_t sequence_ = 0;  // Of the last Save.
  // From the first Save on, which is a Rewrite.
  UniqueFd fd_;
  size_t slot_size_ = 0;
  bool last_slot_is_first_ = false;
};

// The running kernel's boot id; empty if it cannot be read.
const std::string& BootId();

}  // namespace hydra

#endif  // HYDRA_STATE_RECORD_H_
