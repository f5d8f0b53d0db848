#include "shim/cgroup/mounts.h"

#include <sys/stat.h>

#include <algorithm>

#include "shim/base/status.h"
#include "shim/cgroup/kernel_file.h"

namespace hydra {
namespace {

// mountinfo writes space, tab, newline and backslash as \040 and so on.
std::string Unescape(std::string_view text) {
  auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) &&
        octal(text[i + 2]) && octal(text[i + 3])) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 +
                                      (text[i + 2] - '0') * 8 +
                                      (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool IsBelow(std::string_view path, std::string_view directory) {
  return path.substr(0, directory.size()) == directory &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// 36 35 98:0 /root /mount/point options [optional...] - type source options
std::optional<CgroupMount> ParseLine(std::string_view line) {
  size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return std::nullopt;
  std::string_view right = line.substr(dash + 3);
  std::string_view type, source, options;
  NextPiece(right, ' ', type);
  NextPiece(right, ' ', source);
  NextPiece(right, ' ', options);
  if (type != "cgroup" && type != "cgroup2") return std::nullopt;

  std::string_view left = line.substr(0, dash);
  std::string_view id, parent, device, root, mount_point;
  NextPiece(left, ' ', id);
  NextPiece(left, ' ', parent);
  NextPiece(left, ' ', device);
  NextPiece(left, ' ', root);
  if (!NextPiece(left, ' ', mount_point)) return std::nullopt;

  CgroupMount mount;
  mount.device = std::string(device);
  mount.root = Unescape(root);
  mount.mount_point = Unescape(mount_point);
  mount.unified = type == "cgroup2";
  std::string_view option;
  while (!mount.unified && NextPiece(options, ',', option)) {
    mount.options.push_back(Unescape(option));
  }
  return mount;
}

}  // namespace

bool CgroupMount::Has(std::string_view controller) const {
  return std::find(options.begin(), options.end(), controller) != options.end();
}

std::vector<CgroupMount> ParseCgroupMounts(std::string_view text) {
  std::vector<CgroupMount> mounts;
  std::string_view line;
  while (NextPiece(text, '\n', line)) {
    std::optional<CgroupMount> mount = ParseLine(line);
    if (mount) mounts.push_back(*std::move(mount));
  }
  std::stable_partition(mounts.begin(), mounts.end(),
                        [](const CgroupMount& mount) {
                          return IsBelow(mount.mount_point, kCgroupRoot);
                        });
  return mounts;
}

absl::StatusOr<std::vector<CgroupMount>> ReadCgroupMounts(
    const CgroupHost& host) {
  KernelFileReader reader;
  HYDRA_ASSIGN_OR_RETURN(std::string_view text,
                         reader.Read(host.prefix + "/proc/self/mountinfo"));
  return ParseCgroupMounts(text);
}

std::optional<std::string> DirectoryUnder(const CgroupMount& mount,
                                          std::string_view path) {
  std::string_view root = mount.root;
  if (root == "/") root = {};
  if (!IsBelow(path, root)) return std::nullopt;
  std::string_view rest = path.substr(root.size());
  // "/..": the cgroup is outside of the namespace, so below no mount of it.
  if (IsBelow(rest, "/..")) return std::nullopt;
  if (rest == "/") rest = {};
  return mount.mount_point + std::string(rest);
}

absl::StatusOr<std::vector<CgroupMembership>> ReadCgroupMemberships(
    const std::string& process, const CgroupHost& host) {
  KernelFileReader reader;
  HYDRA_ASSIGN_OR_RETURN(
      std::string_view text,
      reader.Read(host.prefix + "/proc/" + process + "/cgroup"));
  std::vector<CgroupMembership> out;
  std::string_view line;
  while (NextPiece(text, '\n', line)) {
    // Only the first two colons separate: a cgroup's name may have some, too.
    size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    CgroupMembership membership;
    membership.path = std::string(line.substr(second + 1));
    std::string_view names = line.substr(first + 1, second - first - 1);
    std::string_view name;
    while (NextPiece(names, ',', name)) {
      membership.controllers.emplace_back(name);
    }
    out.push_back(std::move(membership));
  }
  return out;
}

std::optional<CgroupPlace> FindPlace(const CgroupMembership& membership,
                                     const std::vector<CgroupMount>& mounts,
                                     const CgroupHost& host) {
  for (const CgroupMount& mount : mounts) {
    if (mount.unified != membership.unified()) continue;
    if (!mount.unified && !mount.Has(membership.controllers.front())) continue;
    std::optional<std::string> directory =
        DirectoryUnder(mount, membership.path);
    if (!directory) continue;
    std::string path = host.prefix + *directory;
    struct stat info;
    if (stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      return CgroupPlace{&mount, std::move(path)};
    }
  }
  return std::nullopt;
}

}  // namespace hydra
