#include "test/chaos/plan.h"

#include <signal.h>

#include <random>

namespace hydra::testing {
namespace {

class Dice final {
 public:
  Dice(uint64_t seed, uint64_t lane, uint64_t number) {
    // Twice 32 bits each: seed_seq takes no more of a word.
    std::seed_seq words{seed, seed >> 32, lane, number};
    random_.seed(words);
  }
  // In [low, high]. The standard's distributions differ between libraries.
  uint64_t Between(uint64_t low, uint64_t high) {
    return low + random_() % (high - low + 1);
  }
  bool OneIn(uint64_t n) { return Between(1, n) == 1; }

 private:
  std::mt19937_64 random_;
};

ProcessPlan MakeProcess(Dice* dice, uint64_t max_chunks) {
  ProcessPlan plan;
  if (dice->OneIn(4)) plan.sink = StreamSink::Kind::kFile;
  plan.stream_seed = dice->Between(1, 1u << 30);
  plan.chunk = static_cast<uint32_t>(dice->Between(1, kStreamMaxChunk));
  plan.bytes = plan.chunk * dice->Between(1, max_chunks);
  plan.pause_ms = static_cast<uint32_t>(dice->Between(0, 20));
  plan.exit_code = static_cast<uint32_t>(dice->Between(0, 120));
  plan.ending = static_cast<Ending>(dice->Between(0, 2));
  return plan;
}

Step MakeStep(Dice* dice) {
  Step step;
  const uint64_t kind = dice->Between(1, 10);
  if (kind <= 4) {
    step.kind = Step::Kind::kExec;
    step.exec = MakeProcess(dice, 20);
  } else if (kind <= 6) {
    step.kind = Step::Kind::kPauseAndResume;
  } else if (kind <= 8) {
    step.kind = Step::Kind::kLook;
  } else {
    step.kind = Step::Kind::kRest;
    step.rest_ms = static_cast<uint32_t>(dice->Between(1, 300));
  }
  step.direct = dice->OneIn(2);
  return step;
}

}  // namespace

uint32_t ProcessPlan::expected_status() const {
  return ending == Ending::kKilled ? 128 + SIGKILL : exit_code;
}

std::vector<std::string> ProcessPlan::Command() const {
  std::vector<std::string> command = {
      "/payload/checked-stream", std::to_string(stream_seed),
      std::to_string(bytes),     std::to_string(chunk),
      std::to_string(pause_ms),  std::to_string(exit_code)};
  if (ending != Ending::kByItself) command.push_back("hang");
  return command;
}

ContainerPlan MakePlan(uint64_t seed, uint64_t lane, uint64_t number) {
  Dice dice(seed, lane, number);
  ContainerPlan plan;
  plan.init = MakeProcess(&dice, 100);
  plan.direct_kill = dice.OneIn(2);
  // One that ends when it likes is left alone.
  if (plan.init.ending == Ending::kByItself) return plan;
  const uint64_t steps = dice.Between(1, 6);
  for (uint64_t i = 0; i < steps; ++i) plan.steps.push_back(MakeStep(&dice));
  return plan;
}

std::string ToString(const ProcessPlan& process) {
  std::string text;
  for (const std::string& word : process.Command()) text += word + " ";
  text += process.sink == StreamSink::Kind::kFifo ? "> FIFO" : "> file";
  if (process.ending == Ending::kTerminated) text += ", SIGTERM";
  if (process.ending == Ending::kKilled) text += ", SIGKILL";
  return text;
}

std::string ToString(const Step& step) {
  std::string text;
  switch (step.kind) {
    case Step::Kind::kExec:
      text = "exec " + ToString(step.exec);
      break;
    case Step::Kind::kPauseAndResume:
      text = "pause, resume";
      break;
    case Step::Kind::kLook:
      text = "look";
      break;
    case Step::Kind::kRest:
      return "rest " + std::to_string(step.rest_ms) + " ms";
  }
  return text + (step.direct ? ", direct" : ", by the engine");
}

}  // namespace hydra::testing
