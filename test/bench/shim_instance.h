// A shim without an engine: started by hand in a bundle of our own, called
// over its socket, and ended. What the engine would do besides is then not in
// the figures.
//
// One thread.

#ifndef HYDRA_TEST_BENCH_SHIM_INSTANCE_H_
#define HYDRA_TEST_BENCH_SHIM_INSTANCE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"
#include "test/bench/setup.h"
#include "test/bench/ttrpc_client.h"

namespace hydra::bench {

// Makes the directory `path` into a bundle that runs `command` on
// setup.rootfs, in the host's network, without a terminal; `cgroup` is the
// cgroup's path. What is there already is overwritten.
absl::Status WriteBundle(const Setup& setup, const std::string& path,
                         const std::string& cgroup,
                         const std::vector<std::string>& command);

class ShimInstance final {
 public:
  // Makes the bundle of container `id` under setup.work. Both arguments must
  // outlive this.
  static absl::StatusOr<ShimInstance> Prepare(
      const Setup& setup, const Subject& subject, const std::string& id,
      const std::vector<std::string>& command);
  ShimInstance(ShimInstance&&) = default;
  ShimInstance& operator=(ShimInstance&&) = delete;
  // Ends the shim and its container, if End was not called, and removes the
  // bundle.
  ~ShimInstance();

  // Runs `<shim> start`: nanoseconds from fork to its exit, with the address
  // read; the engine waits for both.
  absl::StatusOr<double> Start();
  // Creates the container, with FIFOs of these paths as its output, or with
  // none if they are empty.
  absl::Status CreateTask(const std::string& stdout_path,
                          const std::string& stderr_path);
  absl::Status StartTask();
  // Kills the container if need be, deletes it, shuts the shim down and runs
  // `<shim> delete` after it, as the engine does.
  absl::Status End();

  const std::string& bundle() const { return bundle_; }

 private:
  ShimInstance(const Setup& setup, const Subject& subject,
               const std::string& id);
  std::vector<std::string> Arguments(const std::string& action) const;
  std::vector<std::string> Environment() const;

  const Setup* setup_;
  const Subject* subject_;
  std::string id_;
  std::string bundle_;
  // Both ends of the bundle's log FIFO, as the engine holds it.
  UniqueFd log_;
  std::optional<TtrpcClient> client_;
  bool created_ = false;
};

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_SHIM_INSTANCE_H_
