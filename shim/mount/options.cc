#include "shim/mount/options.h"

#include <sys/mount.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

struct FlagOption {
  std::string_view name;
  unsigned long flag;
  bool clear;
};

constexpr FlagOption kFlagOptions[] = {
    {"async", MS_SYNCHRONOUS, true},
    {"atime", MS_NOATIME, true},
    {"bind", MS_BIND, false},
    {"dev", MS_NODEV, true},
    {"diratime", MS_NODIRATIME, true},
    {"dirsync", MS_DIRSYNC, false},
    {"exec", MS_NOEXEC, true},
    {"mand", MS_MANDLOCK, false},
    {"noatime", MS_NOATIME, false},
    {"nodev", MS_NODEV, false},
    {"nodiratime", MS_NODIRATIME, false},
    {"noexec", MS_NOEXEC, false},
    {"nomand", MS_MANDLOCK, true},
    {"norelatime", MS_RELATIME, true},
    {"nostrictatime", MS_STRICTATIME, true},
    {"nosuid", MS_NOSUID, false},
    {"rbind", MS_BIND | MS_REC, false},
    {"relatime", MS_RELATIME, false},
    {"remount", MS_REMOUNT, false},
    {"ro", MS_RDONLY, false},
    {"rw", MS_RDONLY, true},
    {"strictatime", MS_STRICTATIME, false},
    {"suid", MS_NOSUID, true},
    {"sync", MS_SYNCHRONOUS, false},
};

struct PropagationOption {
  std::string_view name;
  unsigned long propagation;
};

// containerd passes these words to the filesystem, which refuses them, or
// drops them for a bind mount; mount(8) and the OCI spec have a meaning for
// them, and that is given to them here.
constexpr PropagationOption kPropagationOptions[] = {
    {"private", MS_PRIVATE},
    {"rprivate", MS_PRIVATE | MS_REC},
    {"rshared", MS_SHARED | MS_REC},
    {"rslave", MS_SLAVE | MS_REC},
    {"runbindable", MS_UNBINDABLE | MS_REC},
    {"shared", MS_SHARED},
    {"slave", MS_SLAVE},
    {"unbindable", MS_UNBINDABLE},
};

bool ApplyFlag(std::string_view name, MountOptions& options) {
  for (const FlagOption& option : kFlagOptions) {
    if (option.name != name) continue;
    if (option.clear) {
      options.flags &= ~option.flag;
    } else {
      options.flags |= option.flag;
    }
    return true;
  }
  for (const PropagationOption& option : kPropagationOptions) {
    if (option.name != name) continue;
    options.propagation = option.propagation;
    return true;
  }
  return false;
}

bool ConsumePrefix(std::string_view text, std::string_view prefix,
                   std::string& rest) {
  if (!text.starts_with(prefix)) return false;
  rest = text.substr(prefix.size());
  return true;
}

}  // namespace

absl::StatusOr<MountOptions> ParseMountOptions(
    const std::vector<std::string>& options) {
  MountOptions parsed;
  for (const std::string& option : options) {
    if (option.starts_with("X-containerd.")) {
      return InvalidArgument(
          absl::StrCat("internal mount option \"", option,
                       "\" was not consumed by the mount manager"));
    }
    if (option == "defaults" || ApplyFlag(option, parsed)) continue;
    if (option == "loop") {
      parsed.loop = true;
    } else if (!ConsumePrefix(option, "uidmap=", parsed.uidmap) &&
               !ConsumePrefix(option, "gidmap=", parsed.gidmap)) {
      parsed.data.push_back(option);
    }
  }
  // Without a loop device the word belongs to the filesystem.
  if (parsed.loop) {
    parsed.direct_io = std::erase(parsed.data, "direct-io") > 0;
  }
  return parsed;
}

absl::StatusOr<std::string> JoinData(const std::vector<std::string>& data,
                                     size_t page_size) {
  std::string joined = absl::StrJoin(data, ",");
  if (joined.size() >= page_size) {
    return InvalidArgument(
        absl::StrCat("mount options is too long: ", joined.size(),
                     " bytes, the limit is ", page_size - 1));
  }
  return joined;
}

}  // namespace hydra
