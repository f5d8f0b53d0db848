// What was measured, for people, for machines, and as a picture.

#ifndef HYDRA_TEST_BENCH_REPORT_H_
#define HYDRA_TEST_BENCH_REPORT_H_

#include <string>
#include <utility>
#include <vector>

#include "test/bench/samples.h"

namespace hydra::bench {

struct Report {
  // Name and value: the machine, and the versions of what took part.
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<Case> cases;
};

// The first series' median over the second's; 0 if there is no second, or it
// is 0.
double Ratio(const Case& result);

// Medians, ratios, bars and notes, in 80 columns where names allow.
std::string Table(const Report& report);

// {"format":1, "environment":{...}, "cases":[{"id","title","unit",
// "more_is_better","ratio","note","series":[{"name","n","min","p10","median",
// "p90","p99","max"}]}]}; a field is never renamed without another format
// number.
std::string Json(const Report& report);

// A bar for every series, each case on a scale of its own.
std::string Svg(const Report& report);

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_REPORT_H_
