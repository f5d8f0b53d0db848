// containerd's task service, over gRPC. Any thread.

#ifndef HYDRA_TEST_BENCH_TASKS_CLIENT_H_
#define HYDRA_TEST_BENCH_TASKS_CLIENT_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace hydra::bench {

// How many tasks run in `containerd_namespace`, by the engine at `socket`,
// which asks the shim of each for its state.
//
// Errors: Unavailable while nobody listens; gRPC's own, DeadlineExceeded after
// 60 s; DataLoss for an answer that is none.
absl::StatusOr<size_t> CountRunningTasks(
    const std::string& socket, const std::string& containerd_namespace);

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_TASKS_CLIENT_H_
