// The image that every test runs: busybox and the payloads, as a
// docker-archive made without any network.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_IMAGE_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_IMAGE_H_

#include <string>

namespace hydra::testing {

// The name that containerd gives the imported image.
inline constexpr char kImage[] = "docker.io/hydra/test:1";

// Writes the archive for `ctr images import` to `path`: /bin/busybox with its
// usual links and /payload/<program> for every program of the build's payload
// directory. Fails the running test if it cannot.
void WriteImage(const std::string& path);

// The same files as a directory tree, for a bundle of one's own.
void WriteRootfs(const std::string& directory);

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_IMAGE_H_
