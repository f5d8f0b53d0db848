#include "shim/base/process_stat.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "shim/base/file.h"

namespace hydra {

std::vector<std::string> ReadProcessStat(pid_t pid) {
  constexpr size_t kMaxSize = 4096;
  const absl::StatusOr<std::string> stat =
      ReadFile("/proc/" + std::to_string(pid) + "/stat", kMaxSize);
  if (!stat.ok()) return {};
  // The program's name, field 2, is in parentheses and may contain any byte.
  const size_t name_end = stat->rfind(") ");
  if (name_end == std::string::npos) return {};
  return absl::StrSplit(stat->substr(name_end + 2), ' ');
}

}  // namespace hydra
