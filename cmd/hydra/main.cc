// hydra: containers with no engine, and a hand on those that engines have.

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cmd/hydra/help.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verb.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

bool WantsJson(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--format=json") return true;
    if (words[i] == "--format" && i + 1 < words.size() &&
        words[i + 1] == "json") {
      return true;
    }
  }
  return false;
}

bool IsCommonWithValue(const std::string& word) {
  return word == "--format" || word == "--timeout" || word == "--namespace" ||
         word == "-n";
}

// Options before the verb are the verb's.
void MoveVerbForward(std::vector<std::string>* words) {
  size_t i = 0;
  while (i < words->size() && (*words)[i].starts_with("-")) {
    i += IsCommonWithValue((*words)[i]) ? 2 : 1;
  }
  if (i >= words->size()) return;
  std::rotate(words->begin(), words->begin() + static_cast<ptrdiff_t>(i),
              words->begin() + static_cast<ptrdiff_t>(i) + 1);
}

int Run(std::vector<std::string> words) {
  MoveVerbForward(&words);
  if (words.empty() || words[0] == "-h" || words[0] == "--help") {
    words.insert(words.begin(), "help");
  } else if (words[0] == "-v" || words[0] == "--version") {
    words[0] = "version";
  }
  const Verb* verb = FindVerb(words[0]);
  if (verb == nullptr) {
    Complain(WantsJson(words), "",
             InvalidArgument(words[0] + ": there is no such verb"));
    return kUsageStatus;
  }
  words.erase(words.begin());
  const absl::StatusOr<Invocation> invocation = Parse(*verb, words);
  if (!invocation.ok()) {
    Complain(WantsJson(words), verb->name, invocation.status());
    return verb->usage_status;
  }
  if (invocation->Has("help")) {
    const absl::Status printed = PrintHelp(*verb, invocation->json());
    return printed.ok() ? 0 : kFailedStatus;
  }
  const absl::StatusOr<int> status = verb->run(*invocation);
  if (status.ok()) return *status;
  Complain(invocation->json(), verb->name, status.status());
  if (verb->usage_status == kOwnStatus) return kOwnStatus;
  return absl::IsInvalidArgument(status.status()) ? kUsageStatus
                                                  : kFailedStatus;
}

}  // namespace
}  // namespace hydra::command

int main(int argc, char** argv) {
  // A reader that has gone is an error of the write.
  signal(SIGPIPE, SIG_IGN);
  const int status =
      hydra::command::Run(std::vector<std::string>(argv + 1, argv + argc));
  // Threads that read an input, and calls that nobody waits for any more, are
  // left where they are: nothing is to be destroyed under them.
  fflush(nullptr);
  _exit(status);
}
