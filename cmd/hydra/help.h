// What the command says of itself, from the verbs' own definitions.
//
// Main thread.

#ifndef HYDRA_CMD_HYDRA_HELP_H_
#define HYDRA_CMD_HYDRA_HELP_H_

#include <string>

#include "absl/status/status.h"
#include "cmd/hydra/verb.h"

namespace hydra::command {

absl::Status PrintHelp(const Verb& verb, bool json);

// The man page hydra(1), in man(7)'s macros.
std::string ManPage();

// Scripts that complete the command's words. `shell` is "bash" or "zsh".
std::string CompletionScript(const std::string& shell);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_HELP_H_
