// Mount options as the engine sends them, sorted by what becomes of them.
//
// The vocabulary is that of containerd's core/mount/mount_linux.go
// (parseMountOptions), which a snapshotter's author had in mind, and not the
// larger one of mount(8). Pure functions; any thread.

#ifndef HYDRA_MOUNT_OPTIONS_H_
#define HYDRA_MOUNT_OPTIONS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hydra {

struct MountOptions {
  // MS_* of mount(2) without the propagation types.
  unsigned long flags = 0;
  // One of MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE, possibly with
  // MS_REC, or 0. It takes a call of mount(2) of its own.
  unsigned long propagation = 0;
  // What is the filesystem's own, in the order given.
  std::vector<std::string> data;
  // The source is a file to attach to a loop device; `direct_io` says how.
  bool loop = false;
  bool direct_io = false;
  // "CONTAINER:HOST:SIZE[,...]". One without the other has no effect, as in
  // containerd.
  std::string uidmap;
  std::string gidmap;

  bool idmapped() const { return !uidmap.empty() && !gidmap.empty(); }
};

// A later option wins over an earlier one (`ro,rw` is writable). `defaults`
// says nothing and is dropped: passed on, some filesystems refuse it.
//
// InvalidArgument for X-containerd.*: such an option is an instruction for
// the engine's mount manager, and a mount made without following it would not
// be what the engine meant.
absl::StatusOr<MountOptions> ParseMountOptions(
    const std::vector<std::string>& options);

// `data` as the last argument of mount(2).
//
// InvalidArgument when it does not fit a page of `page_size` bytes with its
// final NUL: the kernel would cut it off there without a word.
absl::StatusOr<std::string> JoinData(const std::vector<std::string>& data,
                                     size_t page_size);

}  // namespace hydra

#endif  // HYDRA_MOUNT_OPTIONS_H_
