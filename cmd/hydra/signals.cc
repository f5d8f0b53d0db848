#include "cmd/hydra/signals.h"

#include <signal.h>
#include <string.h>

#include <optional>

#include "absl/strings/ascii.h"
#include "shim/base/numbers.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

// The C library's names, and those of the real-time signals, which it has none
// for (signal(7)).
std::optional<int> NumberOf(const std::string& name) {
  for (int number = 1; number < SIGRTMIN; ++number) {
    const char* known = sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  for (const bool is_min : {true, false}) {
    const std::string base = is_min ? "RTMIN" : "RTMAX";
    const int origin = is_min ? SIGRTMIN : SIGRTMAX;
    if (name == base) return origin;
    if (name.starts_with(base + (is_min ? "+" : "-"))) {
      const auto offset = ParseDecimal(name.substr(base.size() + 1));
      if (offset.has_value() &&
          *offset <= static_cast<uint64_t>(SIGRTMAX - SIGRTMIN)) {
        return is_min ? origin + static_cast<int>(*offset)
                      : origin - static_cast<int>(*offset);
      }
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<int> ParseSignal(const std::string& text) {
  const auto number = ParseDecimal(text);
  if (number.has_value() && *number >= 1 &&
      *number <= static_cast<uint64_t>(SIGRTMAX)) {
    return static_cast<int>(*number);
  }
  std::string name = text;
  for (char& c : name) c = absl::ascii_toupper(static_cast<unsigned char>(c));
  if (name.starts_with("SIG")) name.erase(0, 3);
  const std::optional<int> found = NumberOf(name);
  if (found.has_value()) return *found;
  return InvalidArgument("signal " + text +
                         ": there is none; try KILL, TERM, HUP, USR1 or a "
                         "number");
}

}  // namespace hydra::command
