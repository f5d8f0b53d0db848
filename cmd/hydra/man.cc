// The man page, in the macros of man(7).

#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "cmd/hydra/help.h"
#include "shim/base/version.h"

namespace hydra::command {
namespace {

// A dash is to be one that can be copied, and a line that begins with a dot or
// a quote is not to be a request.
std::string Escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const bool begins = result.empty() || result.back() == '\n';
    if (begins && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else if (c == '\n') {
      // Paragraphs are apart by two.
      if (!begins) result += "\n.PP\n";
    } else {
      result += c;
    }
  }
  return result;
}

std::string OptionsPart(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    text += ".TP\n\\fB" +
            absl::StrReplaceAll(Escaped(option.names), {{",", "\\fR, \\fB"}}) +
            "\\fR";
    if (!option.value.empty()) text += " \\fI" + Escaped(option.value) + "\\fR";
    text += "\n" + Escaped(option.help) +
            (option.is_repeated ? " (may be repeated)" : "") + "\n";
  }
  return text;
}

std::string VerbPart(const Verb& verb) {
  std::string text = ".SS " + verb.name + "\n\\fBhydra " + verb.name +
                     "\\fR [\\fIOPTIONS\\fR]";
  for (const Argument& argument : verb.arguments) {
    text += " \\fI" + Escaped(argument.name) + "\\fR";
    if (argument.count == Argument::Count::kMany ||
        argument.count == Argument::Count::kAny) {
      text += "...";
    }
  }
  text += "\n.PP\n" + Escaped(verb.summary) + ".\n";
  if (!verb.description.empty()) {
    text += Escaped(verb.description) + "\n";
  }
  for (const std::string& alias : verb.aliases) {
    text += "Also called \\fB" + alias + "\\fR.\n";
  }
  text += OptionsPart(verb.options);
  if (!verb.output.empty()) {
    text +=
        ".PP\nWith \\fB\\-\\-format json\\fR: " + Escaped(verb.output) + ".\n";
  }
  return text;
}

}  // namespace

std::string ManPage() {
  std::string text =
      ".TH HYDRA 1 \"\" \"hydra " + std::string(Version()) +
      "\" \"User Commands\"\n"
      ".SH NAME\nhydra \\- containers with no engine, and a hand on those that "
      "engines have\n"
      ".SH SYNOPSIS\n\\fBhydra\\fR \\fIVERB\\fR [\\fIOPTIONS\\fR] "
      "[\\fIARGUMENTS\\fR]\n"
      ".SH DESCRIPTION\n"
      "Runs containers with nothing but runc, and reaches those that an engine "
      "has started on Hydra, whether the engine is alive or not. Each "
      "container "
      "has a monitor of its own, which keeps its streams and its exit status; "
      "the command only talks to it.\n"
      ".SH OPTIONS OF EVERY VERB\n" +
      OptionsPart(CommonOptions()) + ".SH VERBS\n";
  for (const Verb& verb : Verbs()) text += VerbPart(verb);
  return text +
         ".SH EXIT STATUS\n"
         "Of \\fBrun\\fR, \\fBexec\\fR, \\fBstart \\-a\\fR, \\fBattach\\fR and "
         "\\fBwait\\fR: that of the container's process; 125 if hydra itself "
         "failed, 126 if the program cannot be executed, 127 if there is none. "
         "Of the others: 0, 1 if something failed, 2 if the words make no "
         "sense.\n"
         ".SH ENVIRONMENT\n"
         ".TP\n\\fBHYDRA_RUN_DIR\\fR\nWhere instances are, instead of "
         "/run/hydra, or for an ordinary user $XDG_RUNTIME_DIR/hydra.\n"
         ".TP\n\\fBHYDRA_STATE_DIR\\fR\nWhere logs and bundles are, instead of "
         "/var/lib/hydra, or for an ordinary user $XDG_STATE_HOME/hydra.\n"
         ".TP\n\\fBNO_COLOR\\fR\nIf set, no colours.\n"
         ".SH SEE ALSO\n\\fBrunc\\fR(8), \\fBcontainerd\\fR(8), "
         "\\fBctr\\fR(8)\n";
}

}  // namespace hydra::command
