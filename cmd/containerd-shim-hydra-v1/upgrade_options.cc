#include "cmd/containerd-shim-hydra-v1/upgrade_options.h"

#include <charconv>
#include <optional>
#include <set>

#include "shim/base/status.h"

namespace hydra {
namespace {

// A positive number, all of `text`.
std::optional<int> ParseCount(std::string_view text) {
  int value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value <= 0) {
    return std::nullopt;
  }
  return value;
}

// "30", "30s" or "500ms".
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  int factor = 1000;
  if (text.ends_with("ms")) {
    text.remove_suffix(2);
    factor = 1;
  } else if (text.ends_with("s")) {
    text.remove_suffix(1);
  }
  const std::optional<int> count = ParseCount(text);
  if (!count || *count > 1'000'000) return std::nullopt;
  return std::chrono::milliseconds(int64_t{*count} * factor);
}

absl::Status TakeValue(std::string_view name, const std::string& value,
                       UpgradeOptions* options) {
  if (name == "--namespace") {
    options->container_namespace = value;
  } else if (name == "--monitor") {
    options->monitor = value;
  } else if (name == "--head") {
    options->head = value;
  } else if (name == "--format") {
    if (value != "text" && value != "json") {
      return InvalidArgument("--format " + value + ": not text or json");
    }
    options->json = value == "json";
  } else if (name == "--timeout") {
    const auto timeout = ParseDuration(value);
    if (!timeout) return InvalidArgument("--timeout " + value + ": no time");
    options->timeout = *timeout;
  } else if (name == "--parallel") {
    const std::optional<int> count = ParseCount(value);
    if (!count) return InvalidArgument("--parallel " + value + ": no number");
    options->parallel = *count;
  } else {
    return InvalidArgument("option " + std::string(name) + ": not known");
  }
  return absl::OkStatus();
}

std::string FullName(const FoundInstance& instance) {
  return instance.engine + "/" + instance.container_namespace + "/" +
         instance.id;
}

bool HasName(const FoundInstance& instance, std::string_view name) {
  return name == instance.id ||
         name == instance.container_namespace + "/" + instance.id ||
         name == FullName(instance);
}

}  // namespace

absl::StatusOr<UpgradeOptions> ParseUpgradeOptions(
    const std::vector<std::string>& arguments) {
  UpgradeOptions options;
  bool only_names = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i];
    if (only_names || name.size() < 2 || name[0] != '-') {
      options.names.push_back(name);
      continue;
    }
    if (name == "--") {
      only_names = true;
      continue;
    }
    // One dash will do, as with the other verbs.
    if (name[1] != '-') name.insert(0, 1, '-');
    if (name == "--all") {
      options.all = true;
    } else if (name == "--dry-run") {
      options.dry_run = true;
    } else if (name == "--help" || name == "--h") {
      options.help = true;
    } else if (const size_t equals = name.find('='); equals != name.npos) {
      HYDRA_RETURN_IF_ERROR(
          TakeValue(name.substr(0, equals), name.substr(equals + 1), &options));
    } else if (i + 1 < arguments.size()) {
      HYDRA_RETURN_IF_ERROR(TakeValue(name, arguments[++i], &options));
    } else {
      return InvalidArgument("option " + name +
                             ": not known, or needs a value");
    }
  }
  if (options.help) return options;
  if (options.all && !options.names.empty()) {
    return InvalidArgument("--all and names: which of the two?");
  }
  if (!options.all && options.names.empty() &&
      options.container_namespace.empty()) {
    return InvalidArgument("which? Name instances, --namespace or --all");
  }
  return options;
}

std::string_view UpgradeUsage() {
  return "usage: containerd-shim-hydra-v1 upgrade [options] --all | "
         "--namespace NS | ID...\n"
         "Upgrades running instances to the programs installed now. "
         "Containers run on.\n"
         "  ID                an instance; NS/ID or ENGINE/NS/ID where it is "
         "not unique\n"
         "  --all             every instance of this machine\n"
         "  --namespace NS    those in NS\n"
         "  --dry-run         only try whether it would work\n"
         "  --format FORMAT   text, or json: one object per line\n"
         "  --timeout TIME    for each; 30s if not given\n"
         "  --parallel N      at most so many at a time; 8 if not given\n"
         "  --monitor PATH    the monitor's program, if not the one it was "
         "started from\n"
         "  --head PATH       the same for the head\n"
         "Exit status: 0 all went well, 1 some did not, 2 usage.\n";
}

absl::StatusOr<std::vector<FoundInstance>> SelectInstances(
    const UpgradeOptions& options, const std::vector<FoundInstance>& found) {
  auto in_namespace = [&](const FoundInstance& instance) {
    return options.container_namespace.empty() ||
           instance.container_namespace == options.container_namespace;
  };
  std::set<std::string> chosen;
  for (const std::string& name : options.names) {
    std::vector<const FoundInstance*> matches;
    for (const FoundInstance& instance : found) {
      if (in_namespace(instance) && HasName(instance, name)) {
        matches.push_back(&instance);
      }
    }
    if (matches.empty()) return NotFound("instance " + name + ": not found");
    if (matches.size() > 1) {
      std::string text = "instance " + name + ": which of these?";
      for (const FoundInstance* match : matches) text += " " + FullName(*match);
      return InvalidArgument(text);
    }
    chosen.insert(FullName(*matches[0]));
  }
  std::vector<FoundInstance> selected;
  for (const FoundInstance& instance : found) {
    if (options.names.empty() ? in_namespace(instance)
                              : chosen.contains(FullName(instance))) {
      selected.push_back(instance);
    }
  }
  return selected;
}

}  // namespace hydra
