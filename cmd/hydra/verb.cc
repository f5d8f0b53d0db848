#include "cmd/hydra/verb.h"

#include <algorithm>
#include <iterator>

#include "cmd/hydra/verbs.h"

namespace hydra::command {

namespace {

constexpr Verb (*kMakers[])() = {
    RunVerb,    CreateVerb,  StartVerb,   AttachVerb,     ExecVerb,
    StopVerb,   KillVerb,    RestartVerb, PauseVerb,      UnpauseVerb,
    WaitVerb,   PsVerb,      LogsVerb,    EventsVerb,     InspectVerb,
    StatsVerb,  TopVerb,     UpdateVerb,  CheckpointVerb, RestoreVerb,
    RemoveVerb, UpgradeVerb, VersionVerb, CompletionVerb, ManVerb,
    HelpVerb,
};

// The first `count`. No more are made than somebody asks for: most calls are of
// one of the first, and each is some thousand allocations.
const std::deque<Verb>& FirstVerbs(size_t count) {
  static std::deque<Verb> verbs;
  while (verbs.size() < count) verbs.push_back(kMakers[verbs.size()]());
  return verbs;
}

}  // namespace

const std::deque<Verb>& Verbs() { return FirstVerbs(std::size(kMakers)); }

const Verb* FindVerb(const std::string& name) {
  for (size_t i = 0; i < std::size(kMakers); ++i) {
    const Verb& verb = FirstVerbs(i + 1)[i];
    if (verb.name == name || std::find(verb.aliases.begin(), verb.aliases.end(),
                                       name) != verb.aliases.end()) {
      return &verb;
    }
  }
  return nullptr;
}

const std::vector<Option>& CommonOptions() {
  static const std::vector<Option> options = {
      {"-n,--namespace", "NAME",
       "only containers of this namespace; one that is made is made there "
       "(\"default\" if not given)"},
      {"--format", "FORMAT",
       "text for people, or json: one object, or one on each line", false,
       "text,json"},
      {"--timeout", "TIME",
       "give up after this time: 30, 30s, 500ms, 2m; not given: never"},
      {"-h,--help", "", "say what this verb does"},
  };
  return options;
}

std::string Invocation::Get(const std::string& option,
                            const std::string& otherwise) const {
  const auto found = values_.find(option);
  return found == values_.end() || found->second.empty() ? otherwise
                                                         : found->second.back();
}

const std::vector<std::string>& Invocation::All(
    const std::string& option) const {
  static const std::vector<std::string> none;
  const auto found = values_.find(option);
  return found == values_.end() ? none : found->second;
}

}  // namespace hydra::command
