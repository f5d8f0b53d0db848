#include "shim/mount/unmount.h"

#include <stdlib.h>
#include <sys/mount.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "shim/base/crash_point.h"
#include "shim/base/file.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr char kMountinfo[] = "/proc/thread-self/mountinfo";
// Some hundred thousand mounts.
constexpr size_t kMaxMountinfo = 64 << 20;
constexpr int kBusyAttempts = 50;
constexpr timespec kBusyPause = {0, 50'000'000};
// Ends the work should something mount as fast as we unmount.
constexpr int kMaxPasses = 1000;

bool IsOctal(char c) { return c >= '0' && c <= '7'; }

// The fifth field of a line: id, parent, device, root, mount point.
std::string_view MountPointField(std::string_view line) {
  for (int field = 0; field < 4; ++field) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos) return {};
    line.remove_prefix(space + 1);
  }
  return line.substr(0, line.find(' '));
}

struct Pass {
  bool progress = false;
  bool busy = false;
  absl::Status error;
};

// Each of `points` is unmounted until it is a mount point no more.
Pass UnmountEach(const std::vector<std::string>& points) {
  Pass pass;
  for (const std::string& point : points) {
    while (umount2(point.c_str(), UMOUNT_NOFOLLOW) == 0) pass.progress = true;
    // EINVAL: not a mount point. ENOENT: gone with the mount it was in, or
    // covered by another mount.
    if (errno == EINVAL || errno == ENOENT) continue;
    if (errno == EBUSY) pass.busy = true;
    if (pass.error.ok()) pass.error = ErrnoError(errno, "unmount", point);
  }
  return pass;
}

}  // namespace

std::string UnescapeMountinfo(std::string_view field) {
  std::string text;
  text.reserve(field.size());
  for (size_t i = 0; i < field.size(); ++i) {
    if (field[i] == '\\' && i + 3 < field.size() && IsOctal(field[i + 1]) &&
        IsOctal(field[i + 2]) && IsOctal(field[i + 3])) {
      text.push_back(static_cast<char>((field[i + 1] - '0') * 64 +
                                       (field[i + 2] - '0') * 8 +
                                       (field[i + 3] - '0')));
      i += 3;
    } else {
      text.push_back(field[i]);
    }
  }
  return text;
}

std::vector<std::string> MountPointsUnder(std::string_view mountinfo,
                                          std::string_view path) {
  const std::string below = std::string(path) + "/";
  std::vector<std::string> points;
  while (!mountinfo.empty()) {
    const size_t end = mountinfo.find('\n');
    std::string point =
        UnescapeMountinfo(MountPointField(mountinfo.substr(0, end)));
    if (point == path || point.starts_with(below)) {
      points.push_back(std::move(point));
    }
    if (end == std::string_view::npos) break;
    mountinfo.remove_prefix(end + 1);
  }
  std::sort(points.begin(), points.end(),
            [](const std::string& a, const std::string& b) {
              return a.size() != b.size() ? a.size() > b.size() : a < b;
            });
  points.erase(std::unique(points.begin(), points.end()), points.end());
  return points;
}

absl::Status UnmountRecursive(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const std::unique_ptr<char, decltype(&free)> canonical(
      realpath(path.c_str(), nullptr), &free);
  if (canonical == nullptr) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoError(errno, "realpath", path);
  }
  if (std::string_view(canonical.get()) == "/") {
    return InvalidArgument("unmount /: refused");
  }
  int busy_attempts = 0;
  absl::Status error;
  // mountinfo is read anew each time: taking a mount off a stack can bring
  // to light others below the same path.
  for (int passes = 0; passes < kMaxPasses; ++passes) {
    HYDRA_ASSIGN_OR_RETURN(const std::string mountinfo,
                           ReadFile(kMountinfo, kMaxMountinfo));
    const std::vector<std::string> points =
        MountPointsUnder(mountinfo, canonical.get());
    if (points.empty()) return absl::OkStatus();
    HYDRA_CRASH_POINT("mount.unmount");
    Pass pass = UnmountEach(points);
    HYDRA_CRASH_POINT("mount.unmounted");
    error = std::move(pass.error);
    if (pass.progress) continue;
    if (!pass.busy || ++busy_attempts >= kBusyAttempts) return error;
    nanosleep(&kBusyPause, nullptr);
  }
  return error.ok() ? ErrnoError(EBUSY, "unmount", path) : error;
}

}  // namespace hydra
