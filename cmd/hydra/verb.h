// The command's verbs as data: what they are called, what they take, what they
// say of themselves. Parsing, help, the man page and the shells' completion are
// all made from this.
//
// Main thread.

#ifndef HYDRA_CMD_HYDRA_VERB_H_
#define HYDRA_CMD_HYDRA_VERB_H_

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hydra::command {

struct Option {
  // "-d,--detach"; the long name without dashes is the key of its value.
  std::string names;
  // What stands for its value in the help; empty: a flag.
  std::string value;
  std::string help;
  bool is_repeated = false;
  // For the shells: "container", "file", "directory", or words with commas.
  std::string completion = {};
};

struct Argument {
  std::string name;
  std::string help;
  enum class Count { kOne, kOptional, kMany, kAny } count = Count::kOne;
  std::string completion = {};
  // Everything from here on is the container's, options too.
  bool is_rest = false;
};

// Exit statuses of the command's own.
inline constexpr int kFailedStatus = 1;
inline constexpr int kUsageStatus = 2;
// Of verbs that give the status of the container's process: not 1 or 2, which
// are often a process's own, but as Docker has it. 126: its program cannot be
// executed. 127: there is none.
inline constexpr int kOwnStatus = 125;

class Invocation;

struct Verb {
  std::string name;
  std::vector<std::string> aliases;
  std::string summary;      // One line, no full stop.
  std::string description;  // Paragraphs.
  std::vector<Argument> arguments;
  std::vector<Option> options;
  // What it prints with --format json: "object", "stream" or "" (nothing).
  std::string output;
  // The exit status. An error is told by the caller.
  absl::StatusOr<int> (*run)(const Invocation& invocation);
  // Of an error in the words.
  int usage_status = kUsageStatus;
};

// All of them, in the order of the help.
const std::deque<Verb>& Verbs();
// By name or alias; null if there is none.
const Verb* FindVerb(const std::string& name);
// Those that every verb takes.
const std::vector<Option>& CommonOptions();

// One call of a verb: what was given to it.
class Invocation {
 public:
  explicit Invocation(const Verb* verb) : verb_(verb) {}

  const Verb& verb() const { return *verb_; }
  bool Has(const std::string& option) const { return values_.contains(option); }
  // The last value, or `otherwise`.
  std::string Get(const std::string& option,
                  const std::string& otherwise = {}) const;
  const std::vector<std::string>& All(const std::string& option) const;
  const std::vector<std::string>& arguments() const { return arguments_; }
  bool json() const { return Get("format") == "json"; }

  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> arguments_;

 private:
  const Verb* verb_;
};

// Understands `words`, those after the verb. InvalidArgument, for people.
absl::StatusOr<Invocation> Parse(const Verb& verb,
                                 const std::vector<std::string>& words);

}  // namespace hydra::command

#endif  // HYDRA_CMD_HYDRA_VERB_H_
