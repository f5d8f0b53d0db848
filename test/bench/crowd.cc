#include "test/bench/crowd.h"

#include <chrono>
#include <thread>

#include "shim/base/status.h"
#include "test/bench/command.h"
#include "test/bench/processes.h"

namespace hydra::bench {
namespace {

constexpr long long kPatience = 60'000'000'000;
constexpr std::chrono::milliseconds kPause{20};
// Enough for a container with the dearest shim that is known.
constexpr long long kKilobytesPerContainer = 16 << 10;

}  // namespace

std::vector<Variant> Variants(const Setup& setup) {
  std::vector<Variant> variants;
  for (const Subject& subject : setup.subjects) {
    variants.push_back({&subject, subject.name, false});
  }
  const Subject& first = setup.subjects.front();
  if (!first.head.empty()) {
    variants.push_back({&first, first.name + ", resting", true});
  }
  return variants;
}

std::vector<int> Affordable(const std::vector<int>& counts,
                            const Notice& notice) {
  std::vector<int> affordable;
  for (const int count : counts) {
    if (Kilobytes("/proc/meminfo", "MemAvailable:") <
        count * kKilobytesPerContainer) {
      notice(std::to_string(count) + " containers: left out, there is too " +
             "little memory here");
    } else {
      affordable.push_back(count);
    }
  }
  return affordable;
}

absl::Status Crowd::Begin() {
  return process_.Start(
      {variant_.rests ? "HYDRA_IDLE_SECONDS=1" : "HYDRA_IDLE_SECONDS=0"});
}

absl::Status Crowd::GrowTo(int count) {
  while (ids_.size() < static_cast<size_t>(count)) {
    ids_.push_back(Engine::NewId());
    HYDRA_RETURN_IF_ERROR(
        containers_.RunDetached(*variant_.subject, ids_.back()).status());
  }
  return absl::OkStatus();
}

absl::Status Crowd::Settle(int settle_seconds) const {
  if (!variant_.rests) {
    // Not for something to happen, but for nothing to happen any more.
    std::this_thread::sleep_for(std::chrono::seconds(settle_seconds));
    return absl::OkStatus();
  }
  const long long deadline = Now() + kPatience;
  while (!FindProcesses({variant_.subject->head}).empty()) {
    if (Now() >= deadline) {
      return MakeError(absl::StatusCode::kDeadlineExceeded,
                       variant_.name + ": heads stay");
    }
    std::this_thread::sleep_for(kPause);
  }
  return absl::OkStatus();
}

absl::Status Crowd::End() { return containers_.Remove(ids_); }

}  // namespace hydra::bench
