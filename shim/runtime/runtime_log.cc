#include "shim/runtime/runtime_log.h"

#include <algorithm>

#include "nlohmann/json.hpp"
#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr size_t kMaxLog = 16 << 20;

}  // namespace

std::string LastLoggedErrorIn(std::string_view log) {
  std::string last;
  while (!log.empty()) {
    const size_t end = std::min(log.find('\n'), log.size());
    const auto line = nlohmann::json::parse(log.substr(0, end), nullptr, false);
    log.remove_prefix(std::min(end + 1, log.size()));
    if (!line.is_object()) continue;
    const auto level = line.find("level");
    const auto text = line.find("msg");
    if (level == line.end() || *level != "error" || text == line.end() ||
        !text->is_string()) {
      continue;
    }
    const auto& message = text->get_ref<const std::string&>();
    const size_t first = message.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) continue;
    last =
        message.substr(first, message.find_last_not_of(" \t\r\n") - first + 1);
  }
  return last;
}

absl::StatusOr<std::string> LastLoggedError(const std::string& path,
                                            size_t start) {
  HYDRA_ASSIGN_OR_RETURN(const std::string log, ReadFile(path, kMaxLog));
  // A log that has become shorter was replaced: all of it is new.
  if (start > log.size()) start = 0;
  return LastLoggedErrorIn(std::string_view(log).substr(start));
}

}  // namespace hydra
