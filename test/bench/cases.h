// The cases of the benchmark. Each compares the two subjects of the setup, in
// the same run; in turns, where that does not need hundreds of containers of
// both at once.
//
// One thread. Errors are of the first measurement that did not work; what was
// running has then been ended.

#ifndef HYDRA_TEST_BENCH_CASES_H_
#define HYDRA_TEST_BENCH_CASES_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "test/bench/engine_process.h"
#include "test/bench/samples.h"
#include "test/bench/setup.h"

namespace hydra::bench {

struct Sizes {
  // Samples of each participant: of what runs a container, of what is a
  // single call, of what streams.
  int runs = 30;
  int calls = 3000;
  int streams = 5;
  // Bytes of one stream.
  long long stream_bytes = 1LL << 30;
  // Containers at which memory and restarts are measured, growing.
  std::vector<int> containers = {50, 500};
  // Seconds between the last container's start and the measurement.
  int settle_seconds = 3;
  // Heads that are killed, restarts of the engine at each count of containers.
  int deaths = 300;
  int restarts = 5;
  // Polls of so many containers' stats, and the seconds from one to the next.
  int polls = 6;
  int polled_containers = 200;
  int poll_seconds = 10;
};

// Says something to the person who waits.
using Notice = std::function<void(std::string_view)>;

// ctr run --rm, ctr run -d, ctr task exec; hydra run --rm, with no engine and
// against the runtime alone.
absl::StatusOr<std::vector<Case>> MeasureCommands(const Setup& setup,
                                                  const Sizes& sizes);
// `<shim> start`, Create + Start, State, on the shim's own socket.
absl::StatusOr<std::vector<Case>> MeasureCalls(const Setup& setup,
                                               const Sizes& sizes);
// A container's output through the shim, and through a bare pipe.
absl::StatusOr<std::vector<Case>> MeasureOutput(const Setup& setup,
                                                const Sizes& sizes);
// From the death of a head to the next answer; no case if there are no heads.
absl::StatusOr<std::vector<Case>> MeasureDeaths(const Setup& setup,
                                                const Sizes& sizes,
                                                EngineProcess* process);
// Memory of everything that runs for a container and is not the container,
// with heads and without.
absl::StatusOr<std::vector<Case>> MeasureMemory(const Setup& setup,
                                                const Sizes& sizes,
                                                EngineProcess* process,
                                                const Notice& notice);
// From the start of an engine that was killed until all containers answer.
absl::StatusOr<std::vector<Case>> MeasureRestart(const Setup& setup,
                                                 const Sizes& sizes,
                                                 EngineProcess* process,
                                                 const Notice& notice);
// Processor time of one Stats of one container that is asked again and again.
absl::StatusOr<std::vector<Case>> MeasurePolls(const Setup& setup,
                                               const Sizes& sizes,
                                               EngineProcess* process,
                                               const Notice& notice);

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_CASES_H_
