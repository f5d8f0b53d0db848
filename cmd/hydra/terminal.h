// The terminal that the command itself runs on.
//
// Main thread, but for DetachScanner, which is its owner's.

#ifndef HYDRA_CMD_HYDRA_TERMINAL_H_
#define HYDRA_CMD_HYDRA_TERMINAL_H_

#include <termios.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace hydra::command {

// Standard input's terminal in raw mode (cfmakeraw(3)) while this exists.
class RawMode final {
 public:
  // Nothing happens if standard input is no terminal.
  RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode();

 private:
  std::optional<termios> before_;
};

struct WindowSize {
  unsigned short rows = 0;
  unsigned short columns = 0;
};

// Of the terminal of standard output, or input; nothing without one.
std::optional<WindowSize> GetWindowSize();

// Finds the keys that detach in what is typed.
class DetachScanner final {
 public:
  // "ctrl-p,ctrl-q", as Docker has it: single characters, or ctrl- and a
  // letter or one of @[\]^_. Empty: no keys. InvalidArgument.
  static absl::StatusOr<DetachScanner> Parse(const std::string& keys);

  // What of `typed` is the container's: a beginning of the keys is held back
  // until it is known to be none. Sets detached() when they have come.
  std::string Scan(std::string_view typed);
  bool detached() const { return detached_; }

 private:
  std::string keys_;
  size_t matched_ = 0;
  bool detached_ = false;
};

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_TERMINAL_H_
