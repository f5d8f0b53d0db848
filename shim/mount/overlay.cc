#include "shim/mount/overlay.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/mount/idmap.h"
#include "shim/mount/options.h"
#include "shim/mount/target.h"

namespace hydra {
namespace {

constexpr std::string_view kLowerdir = "lowerdir=";
// How far below a page the options count as long; containerd's figure.
constexpr size_t kPageMargin = 512;

size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// Splits at colons that no backslash escapes.
std::vector<std::string> SplitLowerdirs(std::string_view value) {
  std::vector<std::string> dirs(1);
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == ':') {
      dirs.emplace_back();
      continue;
    }
    dirs.back().push_back(value[i]);
    if (value[i] == '\\' && i + 1 < value.size()) {
      dirs.back().push_back(value[++i]);
    }
  }
  return dirs;
}

std::string Unescape(std::string_view path) {
  std::string text;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 1 < path.size()) ++i;
    text.push_back(path[i]);
  }
  return text;
}

// The length of the longest directory, without a slash at the end, that all
// of `dirs` lie below; 0 when that is the root, or none.
size_t CommonDirectoryLength(const std::vector<std::string>& dirs) {
  size_t common = dirs[0].size();
  for (const std::string& dir : dirs) {
    const auto [end, other] =
        std::mismatch(dirs[0].begin(), dirs[0].end(), dir.begin(), dir.end());
    common = std::min(common, static_cast<size_t>(end - dirs[0].begin()));
  }
  // The part after the last slash is a piece of a name, or is itself one of
  // the directories.
  const size_t slash = dirs[0].substr(0, common).rfind('/');
  return slash == std::string::npos ? 0 : slash;
}

absl::StatusOr<UniqueFd> OpenDirectory(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open", path);
  return fd;
}

}  // namespace

std::optional<RelativeLowerdirs> MakeLowerdirsRelative(
    const std::vector<std::string>& data) {
  const auto option = std::find_if(
      data.begin(), data.end(),
      [](const std::string& text) { return text.starts_with(kLowerdir); });
  if (option == data.end()) return std::nullopt;
  std::vector<std::string> dirs =
      SplitLowerdirs(std::string_view(*option).substr(kLowerdir.size()));
  const size_t length = CommonDirectoryLength(dirs);
  if (length == 0) return std::nullopt;

  RelativeLowerdirs relative;
  relative.directory = Unescape(std::string_view(dirs[0]).substr(0, length));
  relative.count = static_cast<int>(dirs.size());
  for (std::string& dir : dirs) {
    dir.erase(0, std::min(dir.find_first_not_of('/', length), dir.size()));
    if (dir.empty()) dir.push_back('.');
  }
  relative.data = data;
  relative.data[static_cast<size_t>(option - data.begin())] =
      absl::StrCat("lowerdir=", absl::StrJoin(dirs, ":"));
  return relative;
}

absl::Status MountOverlay(MountCall call,
                          const std::vector<std::string>& data) {
  if (absl::StrJoin(data, ",").size() + kPageMargin >= PageSize()) {
    const auto relative = MakeLowerdirsRelative(data);
    if (relative.has_value() && relative->count > 1) {
      HYDRA_ASSIGN_OR_RETURN(call.data, JoinData(relative->data, PageSize()));
      HYDRA_ASSIGN_OR_RETURN(const UniqueFd directory,
                             OpenDirectory(relative->directory));
      return PerformFrom(directory.get(), call);
    }
  }
  HYDRA_ASSIGN_OR_RETURN(call.data, JoinData(data, PageSize()));
  return Perform(call);
}

absl::Status MountIdmappedOverlay(MountCall call,
                                  const std::vector<std::string>& data,
                                  int user_namespace) {
  const auto relative = MakeLowerdirsRelative(data);
  if (!relative.has_value()) {
    return InvalidArgument(
        "idmapped overlay: the lower directories have no common directory");
  }
  HYDRA_ASSIGN_OR_RETURN(call.data, JoinData(relative->data, PageSize()));
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd directory,
                         OpenDirectory(relative->directory));
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd layers, CloneTree(directory.get()));
  HYDRA_RETURN_IF_ERROR(Annotate(
      ShiftOwners(layers.get(), user_namespace, true), relative->directory));
  HYDRA_RETURN_IF_ERROR(AttachTree(layers.get(), call.target_fd));
  // umount2(2) enters what is mounted on the path's end, so the overlay goes
  // first and the layers next; a mount that is gone is EINVAL. Lazily, since
  // nobody else was given either.
  absl::Cleanup detach = [&] {
    while (umount2(FdPath(layers.get()).c_str(), MNT_DETACH) == 0) {
    }
  };
  HYDRA_RETURN_IF_ERROR(PerformFrom(layers.get(), call));
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd root, OpenTop(call.target_fd));
  HYDRA_ASSIGN_OR_RETURN(const UniqueFd overlay, CloneTree(root.get()));
  std::move(detach).Invoke();
  return AttachTree(overlay.get(), call.target_fd);
}

}  // namespace hydra
