// The readers of /proc/PID/mountinfo.

#include "shim/cgroup/mounts.h"
#include "shim/mount/unmount.h"
#include "test/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = hydra::AsText(data, size);
  hydra::Require(hydra::UnescapeMountinfo(text).size() <= size);
  for (const auto& point : hydra::MountPointsUnder(text, "/run")) {
    hydra::Require(point.starts_with("/run"));
  }
  for (const auto& mount : hydra::ParseCgroupMounts(text)) {
    (void)mount.Has("memory");
    (void)hydra::DirectoryUnder(mount, "/docker/c1");
  }
  return 0;
}
