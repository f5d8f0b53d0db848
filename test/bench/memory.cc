#include <array>
#include <string>
#include <utility>
#include <vector>

#include "shim/base/status.h"
#include "test/bench/cases.h"
#include "test/bench/crowd.h"
#include "test/bench/processes.h"

namespace hydra::bench {

absl::StatusOr<std::vector<Case>> MeasureMemory(const Setup& setup,
                                                const Sizes& sizes,
                                                EngineProcess* process,
                                                const Notice& notice) {
  const std::vector<int> steps = Affordable(sizes.containers, notice);
  std::vector<Case> cases;
  for (const int count : steps) {
    const std::string at = " per container, at " + std::to_string(count);
    const std::string id = "_" + std::to_string(count);
    cases.push_back({"pss" + id, "PSS" + at, "kB", false});
    cases.push_back({"rss" + id, "RSS" + at, "kB", false});
    cases.push_back({"processes" + id, "processes" + at, "", false});
  }
  const std::vector<Variant> variants = Variants(setup);
  for (const Variant& variant : variants) {
    Crowd crowd(setup, process, variant);
    HYDRA_RETURN_IF_ERROR(crowd.Begin());
    for (size_t step = 0; step < steps.size(); ++step) {
      const int count = steps[step];
      notice(variant.name + ": " + std::to_string(count) + " containers");
      HYDRA_RETURN_IF_ERROR(crowd.GrowTo(count));
      HYDRA_RETURN_IF_ERROR(crowd.Settle(sizes.settle_seconds));
      const Usage usage = MeasureUsage(*variant.subject);
      if (usage.processes < count) {
        return Internal(variant.name + ": " + std::to_string(usage.processes) +
                        " processes for " + std::to_string(count) +
                        " containers");
      }
      const std::array<double, 3> totals = {
          usage.pss_kb, usage.rss_kb, static_cast<double>(usage.processes)};
      for (size_t i = 0; i < totals.size(); ++i) {
        Series series{variant.name, {}};
        series.samples.Add(totals[i] / count);
        cases[totals.size() * step + i].series.push_back(std::move(series));
      }
    }
    HYDRA_RETURN_IF_ERROR(crowd.End());
  }
  return cases;
}

}  // namespace hydra::bench
