// Completion for bash (bash(1), Programmable Completion) and zsh
// (zshcompsys(1)).

#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "cmd/hydra/help.h"

namespace hydra::command {
namespace {

std::string WithBlanks(const std::string& words) {
  return absl::StrReplaceAll(words, {{",", " "}});
}

std::vector<Option> OptionsOf(const Verb& verb) {
  std::vector<Option> options = verb.options;
  options.insert(options.end(), CommonOptions().begin(), CommonOptions().end());
  return options;
}

std::string CompletionOfArgument(const Verb& verb) {
  return verb.arguments.empty() ? "" : verb.arguments[0].completion;
}

// What offers values of the kind, as a command that fills COMPREPLY.
std::string BashReply(const std::string& kind) {
  if (kind == "container") {
    return "COMPREPLY=($(compgen -W \"$(hydra ps -aq 2>/dev/null)\" -- "
           "\"$cur\"))";
  }
  if (kind == "file") return "COMPREPLY=($(compgen -f -- \"$cur\"))";
  if (kind == "directory") return "COMPREPLY=($(compgen -d -- \"$cur\"))";
  if (kind == "verb") {
    return "COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))";
  }
  if (kind.empty()) return "COMPREPLY=()";
  return "COMPREPLY=($(compgen -W \"" + WithBlanks(kind) + "\" -- \"$cur\"))";
}

std::string BashVerb(const Verb& verb) {
  std::string pattern = verb.name;
  for (const std::string& alias : verb.aliases) pattern += "|" + alias;
  std::string text = "    " + pattern + ")\n      case $prev in\n";
  std::string names;
  for (const Option& option : OptionsOf(verb)) {
    names += (names.empty() ? "" : " ") + WithBlanks(option.names);
    if (option.value.empty()) continue;
    text += "        " + absl::StrReplaceAll(option.names, {{",", "|"}}) +
            ") " + BashReply(option.completion) + "; return ;;\n";
  }
  text +=
      "      esac\n      if [[ $cur == -* ]]; then\n        COMPREPLY=($("
      "compgen -W \"" +
      names + "\" -- \"$cur\"))\n      else\n        " +
      BashReply(CompletionOfArgument(verb)) + "\n      fi ;;\n";
  return text;
}

std::string Bash() {
  std::string verbs;
  for (const Verb& verb : Verbs()) {
    verbs += (verbs.empty() ? "" : " ") + verb.name;
  }
  std::string text =
      "# bash completion for hydra(1); made by `hydra completion bash`.\n"
      "_hydra() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} "
      "prev=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local verbs=\"" +
      verbs +
      "\"\n"
      "  if ((COMP_CWORD == 1)); then\n"
      "    COMPREPLY=($(compgen -W \"$verbs\" -- \"$cur\"))\n"
      "    return\n  fi\n  case ${COMP_WORDS[1]} in\n";
  for (const Verb& verb : Verbs()) text += BashVerb(verb);
  return text + "  esac\n}\ncomplete -o filenames -F _hydra hydra\n";
}

// In single quotes; brackets and colons mean something to _arguments.
std::string ZshText(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"'", "'\\''"}, {"[", "\\["}, {"]", "\\]"}, {":", "\\:"}});
}

std::string ZshAction(const std::string& kind) {
  if (kind == "container") return "_hydra_containers";
  if (kind == "file") return "_files";
  if (kind == "directory") return "_files -/";
  if (kind == "verb") return "_hydra_verbs";
  return kind.empty() ? " " : "(" + WithBlanks(kind) + ")";
}

std::string ZshOption(const Option& option) {
  const std::string help =
      "[" + ZshText(option.help) + "]" +
      (option.value.empty()
           ? ""
           : ":" + ZshText(option.value) + ":" + ZshAction(option.completion));
  std::string text;
  const size_t comma = option.names.find(',');
  const std::string star = option.is_repeated ? "*" : "";
  for (const std::string& name :
       {option.names.substr(0, comma),
        comma == std::string::npos ? "" : option.names.substr(comma + 1)}) {
    if (!name.empty()) text += "      '" + star + name + help + "' \\\n";
  }
  return text;
}

std::string ZshVerb(const Verb& verb) {
  std::string pattern = verb.name;
  for (const std::string& alias : verb.aliases) pattern += "|" + alias;
  std::string text = "    " + pattern + ")\n      _arguments \\\n";
  for (const Option& option : OptionsOf(verb)) text += ZshOption(option);
  const std::string kind = CompletionOfArgument(verb);
  return text + "      '*:argument:" + ZshAction(kind) + "' ;;\n";
}

std::string Zsh() {
  std::string text =
      "#compdef hydra\n"
      "# zsh completion for hydra(1); made by `hydra completion zsh`.\n"
      "_hydra_containers() { compadd -- ${(f)\"$(hydra ps -aq 2>/dev/null)\"} "
      "}\n"
      "_hydra_verbs() {\n  local -a verbs=(\n";
  for (const Verb& verb : Verbs()) {
    text += "    '" + verb.name + ":" + ZshText(verb.summary) + "'\n";
  }
  text +=
      "  )\n  _describe verb verbs\n}\n"
      "_hydra() {\n"
      "  if ((CURRENT == 2)); then _hydra_verbs; return; fi\n"
      "  local verb=$words[2]\n"
      "  shift words; ((CURRENT--))\n"
      "  case $verb in\n";
  for (const Verb& verb : Verbs()) text += ZshVerb(verb);
  return text + "  esac\n}\n_hydra \"$@\"\n";
}

}  // namespace

std::string CompletionScript(const std::string& shell) {
  return shell == "zsh" ? Zsh() : Bash();
}

}  // namespace hydra::command
