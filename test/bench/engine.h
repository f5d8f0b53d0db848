// Containers by way of containerd, with ctr.
//
// One thread.

#ifndef HYDRA_TEST_BENCH_ENGINE_H_
#define HYDRA_TEST_BENCH_ENGINE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "test/bench/command.h"
#include "test/bench/setup.h"

namespace hydra::bench {

class Engine final {
 public:
  // `setup` must outlive this.
  explicit Engine(const Setup& setup) : setup_(setup) {}
  // Removes what RunDetached made and nobody has removed.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // A container id that was never used before.
  static std::string NewId();

  // ctr with `arguments`: its time, from fork to exit.
  absl::StatusOr<double> Ctr(const std::vector<std::string>& arguments);

  // `ctr run --rm` to its end, with ctr reading the container's output.
  absl::StatusOr<double> RunToEnd(const Subject& subject,
                                  const std::vector<std::string>& command);
  // `ctr run -d`. The container sleeps until it is removed.
  absl::StatusOr<double> RunDetached(const Subject& subject,
                                     const std::string& id);
  // Kills and deletes containers that RunDetached made.
  absl::Status Remove(const std::vector<std::string>& ids);

  // The address that the container's shim gave to containerd.
  absl::StatusOr<std::string> ShimAddress(const std::string& id) const;

 private:
  const Setup& setup_;
  std::vector<std::string> containers_;
};

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_ENGINE_H_
