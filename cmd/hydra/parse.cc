#include <CLI/CLI.hpp>
#include <memory>

#include "cmd/hydra/find.h"
#include "cmd/hydra/verb.h"
#include "shim/base/status.h"

namespace hydra::command {
namespace {

// "-d,--detach" is "detach".
std::string KeyOf(const Option& option) {
  return option.names.substr(option.names.rfind("--") + 2);
}

void AddOption(const Option& option, CLI::App* app, Invocation* invocation) {
  const std::string key = KeyOf(option);
  if (option.value.empty()) {
    app->add_flag_callback(option.names, [invocation, key] {
      invocation->values_[key] = {"true"};
    });
    return;
  }
  app->add_option_function<std::vector<std::string>>(
         option.names,
         [invocation, key](const std::vector<std::string>& values) {
           invocation->values_[key] = values;
         })
      ->type_size(1)
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(option.is_repeated
                                ? CLI::MultiOptionPolicy::TakeAll
                                : CLI::MultiOptionPolicy::TakeLast);
}

// Whether one of the words may be `option`. Adding an option to CLI11 takes a
// look at all that it has, so that a verb with fifty took longer to understand
// than to carry out; it hears of those that are mentioned.
bool IsMentioned(const Option& option, const std::vector<std::string>& words) {
  const std::string name = "--" + KeyOf(option);
  const bool is_short = option.names[1] != '-';
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    if (word.starts_with("--")) {
      return word.starts_with(name) &&
             (word.size() == name.size() || word[name.size()] == '=');
    }
    // One of a group, or a group's value.
    return is_short && word.starts_with("-") &&
           word.find(option.names[1]) != std::string::npos;
  });
}

// The words that are options, up to the first that is none; with `rest` all
// behind that are the container's own.
size_t WordsBeforeRest(const Verb& verb,
                       const std::vector<std::string>& words) {
  size_t fixed = 0;
  bool has_rest = false;
  for (const Argument& argument : verb.arguments) {
    if (argument.is_rest) {
      has_rest = true;
    } else {
      ++fixed;
    }
  }
  if (!has_rest) return words.size();
  std::map<std::string, bool> takes_value;
  for (const auto* options : {&verb.options, &CommonOptions()}) {
    for (const Option& option : *options) {
      const size_t comma = option.names.find(',');
      if (comma != std::string::npos) {
        takes_value[option.names.substr(0, comma)] = !option.value.empty();
      }
      takes_value["--" + KeyOf(option)] = !option.value.empty();
    }
  }
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") return i;
    if (word.size() < 2 || word[0] != '-') {
      if (fixed == 0) return i;
      if (--fixed == 0) return i + 1;
      continue;
    }
    // -it, --name=x and -ex have what they need; others take the next word.
    if (word[1] != '-' && word.size() > 2) {
      const auto last = takes_value.find(std::string("-") + word.back());
      const auto first = takes_value.find(word.substr(0, 2));
      const bool is_group = first != takes_value.end() && !first->second;
      if (is_group && last != takes_value.end() && last->second) ++i;
      continue;
    }
    const auto found = takes_value.find(word);
    if (found != takes_value.end() && found->second) ++i;
  }
  return words.size();
}

absl::Status CheckCount(const Verb& verb, size_t count) {
  size_t least = 0;
  bool bounded = true;
  std::string missing;
  for (const Argument& argument : verb.arguments) {
    const bool is_needed = argument.count == Argument::Count::kOne ||
                           argument.count == Argument::Count::kMany;
    if (is_needed && ++least > count && missing.empty()) {
      missing = argument.name;
    }
    bounded &= argument.count != Argument::Count::kMany &&
               argument.count != Argument::Count::kAny;
  }
  if (!missing.empty()) {
    return InvalidArgument(missing + " is missing");
  }
  if (bounded && count > verb.arguments.size()) {
    return InvalidArgument("no more arguments are taken than " +
                           std::to_string(verb.arguments.size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Invocation> Parse(const Verb& verb,
                                 const std::vector<std::string>& words) {
  Invocation invocation(&verb);
  CLI::App app;
  app.set_help_flag();
  const size_t cut = WordsBeforeRest(verb, words);
  std::vector<std::string> ours(words.begin(),
                                words.begin() + static_cast<ptrdiff_t>(cut));
  for (const auto* options : {&verb.options, &CommonOptions()}) {
    for (const Option& option : *options) {
      if (IsMentioned(option, ours)) AddOption(option, &app, &invocation);
    }
  }
  std::vector<std::string> arguments;
  app.add_option("arguments", arguments)->expected(0, -1)->type_size(1);
  // CLI11 takes them from the back.
  std::reverse(ours.begin(), ours.end());
  try {
    app.parse(ours);
  } catch (const CLI::ParseError& error) {
    return InvalidArgument(error.what());
  }
  size_t rest = cut;
  if (rest < words.size() && words[rest] == "--") ++rest;
  arguments.insert(arguments.end(),
                   words.begin() + static_cast<ptrdiff_t>(rest), words.end());
  invocation.arguments_ = std::move(arguments);
  if (invocation.Has("help")) return invocation;
  const std::string format = invocation.Get("format", "text");
  if (format != "text" && format != "json") {
    return InvalidArgument("--format " + format + ": text or json");
  }
  HYDRA_RETURN_IF_ERROR(TimeoutOf(invocation).status());
  HYDRA_RETURN_IF_ERROR(CheckCount(verb, invocation.arguments_.size()));
  return invocation;
}

}  // namespace hydra::command
