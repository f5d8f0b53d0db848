// What one container of the chaos test is told to do: made from the seed alone,
// so that a run can be repeated as far as the machine's timing can.

#ifndef HYDRA_TEST_CHAOS_PLAN_H_
#define HYDRA_TEST_CHAOS_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "test/chaos/stream_check.h"

namespace hydra::testing {

// How a process comes to its end.
enum class Ending { kByItself, kTerminated, kKilled };

struct ProcessPlan {
  StreamSink::Kind sink = StreamSink::Kind::kFifo;
  uint64_t stream_seed = 0;
  uint64_t bytes = 0;
  uint32_t chunk = 0;
  uint32_t pause_ms = 0;  // After each chunk.
  uint32_t exit_code = 0;
  Ending ending = Ending::kByItself;

  // What its exit must be told as.
  uint32_t expected_status() const;
  // Arguments, with the program's.
  std::vector<std::string> Command() const;
};

struct Step {
  enum class Kind { kExec, kPauseAndResume, kLook, kRest };
  Kind kind = Kind::kLook;
  // To the shim's own socket, not through the engine.
  bool direct = false;
  ProcessPlan exec;
  uint32_t rest_ms = 0;
};

struct ContainerPlan {
  ProcessPlan init;
  std::vector<Step> steps;
  bool direct_kill = false;
};

ContainerPlan MakePlan(uint64_t seed, uint64_t lane, uint64_t number);

std::string ToString(const Step& step);
std::string ToString(const ProcessPlan& process);

}  // namespace hydra::testing

#endif  // HYDRA_TEST_CHAOS_PLAN_H_
