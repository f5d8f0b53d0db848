// The head's record of its instance, on disk and back.
//
// Loop thread only.

#ifndef HYDRA_STATE_RECORD_H_
#define HYDRA_STATE_RECORD_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "hydra/state.pb.h"

namespace hydra {

// Raise it when an older head would misread the file.
inline constexpr uint32_t kRecordVersion = 1;

class RecordFile final {
 public:
  // `path` is state.pb's; its directory must exist when Save() is called.
  explicit RecordFile(std::string path) : path_(std::move(path)) {}

  // What the file says. NotFound: there is none. DataLoss: it is cut short,
  // not ours, or of a boot before this one. FailedPrecondition: a newer format.
  // Each names the file.
  absl::StatusOr<state::Record> Load() const;

  // Replaces the file: written beside it, then renamed, so that a reader or a
  // successor sees the old one or the new one. /run is memory, so there is
  // nothing to fsync. An errno's status (ResourceExhausted for ENOSPC) if it
  // could not be written; the old file stands then.
  absl::Status Save(const state::Record& record) const;

 private:
  const std::string path_;
};

// The running kernel's boot id; empty if it cannot be read.
const std::string& BootId();

}  // namespace hydra

#endif  // HYDRA_STATE_RECORD_H_
