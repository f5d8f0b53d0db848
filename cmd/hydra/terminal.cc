#include "cmd/hydra/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "shim/base/status.h"

namespace hydra::command {

RawMode::RawMode() {
  termios mode;
  if (tcgetattr(STDIN_FILENO, &mode) != 0) return;
  before_ = mode;
  cfmakeraw(&mode);
  tcsetattr(STDIN_FILENO, TCSANOW, &mode);
}

RawMode::~RawMode() {
  if (before_.has_value()) tcsetattr(STDIN_FILENO, TCSANOW, &*before_);
}

std::optional<WindowSize> GetWindowSize() {
  winsize size;
  for (const int fd : {STDOUT_FILENO, STDIN_FILENO}) {
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
      return WindowSize{size.ws_row, size.ws_col};
    }
  }
  return std::nullopt;
}

absl::StatusOr<DetachScanner> DetachScanner::Parse(const std::string& keys) {
  DetachScanner scanner;
  if (keys.empty()) return scanner;
  const std::vector<std::string> words = absl::StrSplit(keys, ',');
  for (const std::string& word : words) {
    if (word.size() == 1) {
      scanner.keys_ += word;
      continue;
    }
    const char key =
        word.size() == 6 && word.starts_with("ctrl-")
            ? absl::ascii_toupper(static_cast<unsigned char>(word[5]))
            : '\0';
    if (key < '@' || key > '_') {
      return InvalidArgument("--detach-keys " + keys +
                             ": not like ctrl-p,ctrl-q or ctrl-a,d");
    }
    scanner.keys_ += static_cast<char>(key & 0x1f);
  }
  return scanner;
}

std::string DetachScanner::Scan(std::string_view typed) {
  std::string passed;
  for (const char c : typed) {
    if (detached_) break;
    // The longest end of what is held back that may be the beginning of the
    // keys stays so.
    std::string held = keys_.substr(0, matched_) + c;
    while (!keys_.starts_with(held)) {
      passed += held[0];
      held.erase(0, 1);
    }
    matched_ = held.size();
    detached_ = !keys_.empty() && matched_ == keys_.size();
  }
  return passed;
}

}  // namespace hydra::command
