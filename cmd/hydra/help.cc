// help, version, man, completion.

#include "cmd/hydra/help.h"

#include <string>
#include <vector>

#include "cmd/containerd-shim-hydra-v1/command.h"
#include "cmd/hydra/output.h"
#include "cmd/hydra/verbs.h"
#include "shim/base/status.h"
#include "shim/base/version.h"
#include "shim/link/protocol.h"

namespace hydra::command {
namespace {

constexpr size_t kWidth = 78;
constexpr std::chrono::seconds kRuntimeTimeout{5};

// `text` in lines of at most kWidth, with `margin` before each but the first.
std::string Wrapped(const std::string& text, size_t margin, size_t column) {
  std::string result;
  size_t at = column;
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = text.find_first_of(" \n", begin);
    if (end == std::string::npos) end = text.size();
    const size_t length = end - begin;
    if (at > margin && at + 1 + length > kWidth) {
      result += "\n" + std::string(margin, ' ');
      at = margin;
    } else if (at > margin && !result.empty()) {
      result += ' ';
      ++at;
    }
    result += text.substr(begin, length);
    at += length;
    while (end < text.size() && text[end] == '\n') {
      result += "\n" + std::string(margin, ' ');
      at = margin;
      ++end;
    }
    begin = end < text.size() && text[end] == ' ' ? end + 1 : end;
  }
  return result;
}

std::string ArgumentText(const Argument& argument) {
  switch (argument.count) {
    case Argument::Count::kOptional:
      return "[" + argument.name + "]";
    case Argument::Count::kMany:
      return argument.name + "...";
    case Argument::Count::kAny:
      return "[" + argument.name + "...]";
    default:
      return argument.name;
  }
}

std::string Usage(const Verb& verb) {
  std::string text = "hydra " + verb.name + " [OPTIONS]";
  for (const Argument& argument : verb.arguments) {
    text += " " + ArgumentText(argument);
  }
  return text;
}

// "-d, --detach", "--name NAME".
std::string OptionText(const Option& option) {
  std::string text = option.names;
  if (const size_t comma = text.find(','); comma != std::string::npos) {
    text.insert(comma + 1, " ");
  } else {
    text.insert(0, "    ");
  }
  return option.value.empty() ? text : text + " " + option.value;
}

std::string OptionsText(const std::vector<Option>& options) {
  constexpr size_t kColumn = 32;
  std::string text;
  for (const Option& option : options) {
    std::string line = "  " + OptionText(option);
    if (line.size() + 2 > kColumn) {
      text += line + "\n" + std::string(kColumn, ' ');
    } else {
      line.resize(kColumn, ' ');
      text += line;
    }
    text += Wrapped(option.help, kColumn, kColumn) +
            (option.is_repeated ? " (may be repeated)" : "") + "\n";
  }
  return text;
}

std::string HelpText(const Verb& verb) {
  std::string text = "usage: " + Usage(verb) + "\n\n" + verb.summary + ".\n";
  if (!verb.description.empty()) {
    text += "\n" + Wrapped(verb.description, 0, 0) + "\n";
  }
  if (!verb.arguments.empty()) text += "\n";
  for (const Argument& argument : verb.arguments) {
    text += "  " + argument.name + "  " +
            Wrapped(argument.help, argument.name.size() + 4,
                    argument.name.size() + 4) +
            "\n";
  }
  if (!verb.aliases.empty()) {
    text += "\nAlso called:";
    for (const std::string& alias : verb.aliases) text += " " + alias;
    text += "\n";
  }
  if (!verb.options.empty()) text += "\nOptions:\n" + OptionsText(verb.options);
  text += "\nOptions of every verb:\n" + OptionsText(CommonOptions());
  if (!verb.output.empty()) {
    text += "\nWith --format json: " +
            Wrapped(verb.output, 2, sizeof("With --format json:")) + "\n";
  }
  return text;
}

std::string Overview() {
  constexpr size_t kColumn = 14;
  std::string text =
      "usage: hydra VERB [OPTIONS] [ARGUMENTS]\n\n"
      "Runs and reaches containers with no engine at all, and those that an\n"
      "engine has started on Hydra, whether it is alive or not.\n\nVerbs:\n";
  for (const Verb& verb : Verbs()) {
    std::string line = "  " + verb.name;
    line.resize(kColumn, ' ');
    text += line + verb.summary + "\n";
  }
  return text +
         "\n`hydra help VERB` says more; --format json is for programs.\n";
}

Json OptionJson(const Option& option) {
  Json object;
  const size_t comma = option.names.find(',');
  object["name"] =
      option.names.substr(comma == std::string::npos ? 0 : comma + 1);
  if (comma != std::string::npos) {
    object["short"] = option.names.substr(0, comma);
  }
  object["value"] = option.value.empty() ? Json(nullptr) : Json(option.value);
  object["repeated"] = option.is_repeated;
  object["help"] = option.help;
  return object;
}

const char* CountName(Argument::Count count) {
  switch (count) {
    case Argument::Count::kOptional:
      return "0..1";
    case Argument::Count::kMany:
      return "1..";
    case Argument::Count::kAny:
      return "0..";
    default:
      return "1";
  }
}

Json VerbJson(const Verb& verb) {
  Json object = {{"verb", verb.name},
                 {"aliases", verb.aliases},
                 {"summary", verb.summary},
                 {"description", verb.description},
                 {"usage", Usage(verb)}};
  object["arguments"] = Json::array();
  for (const Argument& argument : verb.arguments) {
    object["arguments"].push_back({{"name", argument.name},
                                   {"count", CountName(argument.count)},
                                   {"help", argument.help}});
  }
  object["options"] = Json::array();
  for (const auto* options : {&verb.options, &CommonOptions()}) {
    for (const Option& option : *options) {
      object["options"].push_back(OptionJson(option));
    }
  }
  object["json_output"] = verb.output;
  return object;
}

absl::StatusOr<int> Help(const Invocation& invocation) {
  if (!invocation.arguments().empty()) {
    const Verb* verb = FindVerb(invocation.arguments()[0]);
    if (verb == nullptr) {
      return InvalidArgument(invocation.arguments()[0] +
                             ": there is no such verb; `hydra help` lists "
                             "them");
    }
    HYDRA_RETURN_IF_ERROR(PrintHelp(*verb, invocation.json()));
    return 0;
  }
  if (!invocation.json()) {
    HYDRA_RETURN_IF_ERROR(Print(Overview()));
    return 0;
  }
  for (const Verb& verb : Verbs()) {
    HYDRA_RETURN_IF_ERROR(PrintJson(VerbJson(verb)));
  }
  return 0;
}

// The first line of what the runtime says; empty if there is none.
std::string RuntimeVersion() {
  const absl::StatusOr<CommandResult> result =
      RunCommand({"runc", "--version"}, kRuntimeTimeout);
  if (!result.ok() || !result->ok()) return {};
  return result->output.substr(0, result->output.find('\n'));
}

absl::StatusOr<int> ShowVersion(const Invocation& invocation) {
  const std::string runtime = RuntimeVersion();
  if (invocation.json()) {
    HYDRA_RETURN_IF_ERROR(PrintJson(
        {{"version", std::string(Version())},
         {"link_version", link::kLinkVersion},
         {"runtime", runtime.empty() ? Json(nullptr) : Json(runtime)}}));
    return 0;
  }
  HYDRA_RETURN_IF_ERROR(Print("hydra " + std::string(Version()) + "\n" +
                              (runtime.empty() ? "no runc in PATH" : runtime) +
                              "\n"));
  return 0;
}

absl::StatusOr<int> ShowManPage(const Invocation&) {
  HYDRA_RETURN_IF_ERROR(Print(ManPage()));
  return 0;
}

absl::StatusOr<int> ShowCompletion(const Invocation& invocation) {
  const std::string shell = invocation.arguments()[0];
  if (shell != "bash" && shell != "zsh") {
    return InvalidArgument("completion " + shell + ": bash or zsh");
  }
  HYDRA_RETURN_IF_ERROR(Print(CompletionScript(shell)));
  return 0;
}

}  // namespace

absl::Status PrintHelp(const Verb& verb, bool json) {
  return json ? PrintJson(VerbJson(verb)) : Print(HelpText(verb));
}

Verb VersionVerb() {
  return {"version",
          {},
          "Tell the versions of hydra and of the runtime",
          "",
          {},
          {},
          "object: version, link_version, runtime",
          ShowVersion};
}

Verb CompletionVerb() {
  return {
      "completion",
      {},
      "Print what lets a shell complete our words",
      "bash: source <(hydra completion bash). zsh: put the output of `hydra "
      "completion zsh` into a file called _hydra in $fpath.",
      {{"SHELL", "bash or zsh", Argument::Count::kOne, "bash,zsh"}},
      {},
      "",
      ShowCompletion};
}

Verb ManVerb() {
  return {"man", {}, "Print the man page", "hydra man | man -l -", {},
          {},    "", ShowManPage};
}

Verb HelpVerb() {
  return {"help",
          {},
          "Tell what there is, or what a verb takes",
          "",
          {{"VERB", "", Argument::Count::kOptional, "verb"}},
          {},
          "object for each verb: verb, aliases, summary, description, usage, "
          "arguments, options, json_output",
          Help};
}

}  // namespace hydra::command
