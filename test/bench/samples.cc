#include "test/bench/samples.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "shim/base/status.h"

namespace hydra::bench {

double Samples::Quantile(double fraction) const {
  if (values_.empty()) return 0;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const double rank =
      std::ceil(fraction * static_cast<double>(sorted.size())) - 1;
  const auto index = static_cast<size_t>(std::max(rank, 0.0));
  return sorted[std::min(index, sorted.size() - 1)];
}

double Samples::Median() const {
  if (values_.size() % 2 == 1) return Quantile(0.5);
  if (values_.empty()) return 0;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const size_t upper = sorted.size() / 2;
  return (sorted[upper - 1] + sorted[upper]) / 2;
}

absl::StatusOr<std::vector<Series>> TakeTurns(
    const std::vector<Participant>& participants, int count) {
  std::vector<Series> series;
  for (const Participant& participant : participants) {
    series.push_back({participant.name, {}});
  }
  for (int round = 0; round <= count; ++round) {
    for (size_t turn = 0; turn < participants.size(); ++turn) {
      const size_t index =
          round % 2 == 0 ? turn : participants.size() - 1 - turn;
      absl::StatusOr<double> value = participants[index].measure();
      if (!value.ok()) {
        return Annotate(value.status(), participants[index].name);
      }
      if (round > 0) series[index].samples.Add(*value);
    }
  }
  return series;
}

}  // namespace hydra::bench
