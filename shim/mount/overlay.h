// Overlay mounts: long lists of lower directories, and idmapped ones.
//
// Any thread.

#ifndef HYDRA_MOUNT_OVERLAY_H_
#define HYDRA_MOUNT_OVERLAY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "shim/mount/mount_call.h"

namespace hydra {

// Overlay options whose lower directories are relative to a directory.
struct RelativeLowerdirs {
  std::string directory;
  std::vector<std::string> data;
  int count = 0;
};

// Makes the paths of `lowerdir=` in `data` relative to the deepest directory
// that holds them all. Nothing when there is no such option, when they have
// only the root directory in common, or when one is empty, which is how `::`
// marks data-only layers. A backslash in a path escapes what follows it, as
// overlayfs has it.
std::optional<RelativeLowerdirs> MakeLowerdirsRelative(
    const std::vector<std::string>& data);

// Performs `call`, whose `data` is yet to be made from the argument `data`.
// Options that come near the page that mount(2) takes have their lower
// directories made relative, and the call happens in their common directory.
absl::Status MountOverlay(MountCall call, const std::vector<std::string>& data);

// The same with the owners in the lower directories shifted by
// `user_namespace`. overlayfs takes only mounted trees for layers, so a
// shifted copy of the common directory is mounted for a moment: on the target
// itself, below the overlay, where the cleaning up after a killed process
// finds it. Afterwards the overlay is all that was added there.
absl::Status MountIdmappedOverlay(MountCall call,
                                  const std::vector<std::string>& data,
                                  int user_namespace);

}  // namespace hydra

#endif  // HYDRA_MOUNT_OVERLAY_H_
