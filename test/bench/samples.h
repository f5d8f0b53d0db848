// Measured values of one participant in one case.
//
// One thread.

#ifndef HYDRA_TEST_BENCH_SAMPLES_H_
#define HYDRA_TEST_BENCH_SAMPLES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace hydra::bench {

class Samples final {
 public:
  void Add(double value) { values_.push_back(value); }

  // In the order in which they were measured.
  const std::vector<double>& values() const { return values_; }
  // The value that `fraction` of the samples do not exceed (nearest rank);
  // 0 without samples.
  double Quantile(double fraction) const;
  // The middle one, or the mean of the two in the middle.
  double Median() const;

 private:
  std::vector<double> values_;
};

// What is measured on one side: called once per sample.
struct Participant {
  std::string name;
  // One measurement; an error ends the case.
  std::function<absl::StatusOr<double>()> measure;
};

// One participant's part of a case's result.
struct Series {
  std::string name;
  Samples samples;
};

// One case of the report. The first two series are compared with each other;
// those after them are the same thing without a shim, or with one that is used
// in another way.
struct Case {
  // For machines: never renamed, never used for anything else.
  std::string id;
  std::string title;
  std::string unit;
  bool more_is_better = false;
  std::vector<Series> series = {};
  // What a reader has to know besides; empty for nothing.
  std::string note = {};
};

// Measures every participant `count` times, in turns, each round in the reverse
// order of the one before it, so that a machine that grows slower or faster
// favours nobody. A first round is not counted: it fills caches.
absl::StatusOr<std::vector<Series>> TakeTurns(
    const std::vector<Participant>& participants, int count);

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_SAMPLES_H_
