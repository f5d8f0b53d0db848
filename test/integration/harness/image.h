// The image that every test runs: busybox and the payloads, as a
// docker-archive made without any network.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_IMAGE_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_IMAGE_H_

#include <string>
#include <vector>

namespace hydra::testing {

// The name that containerd gives the imported image.
inline constexpr char kImage[] = "docker.io/hydra/test:1";
// The same files, with a command that does nothing for a long time: what a
// pod's sandbox runs.
inline constexpr char kPauseImage[] = "docker.io/hydra/pause:1";

// Writes the archive for `ctr images import` to `path`: /bin/busybox with its
// usual links and /payload/<program> for every program of the build's payload
// directory; with_pause: both images. Fails the running test if it cannot.
void WriteImage(const std::string& path, bool with_pause = false);

// The same files as a directory tree, for a bundle of one's own.
void WriteRootfs(const std::string& directory);

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_IMAGE_H_
