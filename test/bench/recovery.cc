#include <signal.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "containerd/task/v2/task.pb.h"
#include "hydra/v1/instance.pb.h"
#include "shim/base/status.h"
#include "test/bench/cases.h"
#include "test/bench/command.h"
#include "test/bench/crowd.h"
#include "test/bench/ttrpc_client.h"

namespace hydra::bench {
namespace {

namespace task = containerd::task::v2;

constexpr double kNanosecondsPerMillisecond = 1e6;
// Containers whose heads are killed in turns, because the heads must be older
// than a second: after an earlier death the next start is put off.
constexpr int kVictims = 12;
constexpr long long kLeastAge = 1'200'000'000;

struct Victim {
  std::string id;
  TtrpcClient client;
  long long head_started = 0;
};

absl::StatusOr<v1::Head> InspectHead(Victim* victim) {
  v1::InspectResponse response;
  HYDRA_RETURN_IF_ERROR(victim->client.Call("Inspect", v1::InspectRequest(),
                                            &response, "hydra.v1.Instance"));
  return response.head();
}

// Milliseconds from the death of the victim's head to the answer of State.
absl::StatusOr<double> MeasureDeath(Victim* victim) {
  std::this_thread::sleep_for(
      std::chrono::nanoseconds(victim->head_started + kLeastAge - Now()));
  HYDRA_ASSIGN_OR_RETURN(const v1::Head before, InspectHead(victim));
  task::StateRequest request;
  request.set_id(victim->id);
  task::StateResponse response;
  const long long start = Now();
  if (kill(before.pid(), SIGKILL) != 0) return ErrnoError(errno, "kill");
  HYDRA_RETURN_IF_ERROR(victim->client.Call("State", request, &response));
  const long long end = Now();
  victim->head_started = end;
  HYDRA_ASSIGN_OR_RETURN(const v1::Head after, InspectHead(victim));
  if (response.id() != victim->id || after.deaths() != before.deaths() + 1) {
    return DataLoss("the head that answered is not the next one");
  }
  return static_cast<double>(end - start) / kNanosecondsPerMillisecond;
}

absl::StatusOr<Series> KillHeads(const Setup& setup, EngineProcess* process,
                                 int count) {
  const Variant variant = Variants(setup).front();
  Crowd crowd(setup, process, variant);
  HYDRA_RETURN_IF_ERROR(crowd.Begin());
  HYDRA_RETURN_IF_ERROR(crowd.GrowTo(kVictims));
  std::vector<Victim> victims;
  for (const std::string& id : crowd.ids()) {
    HYDRA_ASSIGN_OR_RETURN(const std::string address, crowd.ShimAddress(id));
    HYDRA_ASSIGN_OR_RETURN(TtrpcClient client, TtrpcClient::Connect(address));
    victims.push_back({id, std::move(client), Now()});
  }
  Series series{variant.name, {}};
  for (int i = 0; i < count; ++i) {
    HYDRA_ASSIGN_OR_RETURN(
        const double time,
        MeasureDeath(&victims[static_cast<size_t>(i) % victims.size()]));
    series.samples.Add(time);
  }
  victims.clear();
  HYDRA_RETURN_IF_ERROR(crowd.End());
  return series;
}

// Milliseconds of some restarts of the engine; one before them is not counted.
absl::StatusOr<Samples> MeasureRestarts(EngineProcess* process,
                                        const Crowd& crowd,
                                        const Sizes& sizes) {
  Samples samples;
  for (int round = 0; round <= sizes.restarts; ++round) {
    HYDRA_RETURN_IF_ERROR(crowd.Settle(sizes.settle_seconds));
    HYDRA_ASSIGN_OR_RETURN(const double time,
                           process->Restart(crowd.ids().size()));
    if (round > 0) samples.Add(time / kNanosecondsPerMillisecond);
  }
  return samples;
}

}  // namespace

absl::StatusOr<std::vector<Case>> MeasureDeaths(const Setup& setup,
                                                const Sizes& sizes,
                                                EngineProcess* process) {
  if (setup.subjects.front().head.empty()) return std::vector<Case>();
  HYDRA_ASSIGN_OR_RETURN(Series series,
                         KillHeads(setup, process, sizes.deaths));
  return std::vector<Case>{
      {"head_death",
       "head's death to the next answer",
       "ms",
       false,
       {std::move(series)},
       "of a head of more than a second; a shim without heads takes its "
       "container along"}};
}

absl::StatusOr<std::vector<Case>> MeasureRestart(const Setup& setup,
                                                 const Sizes& sizes,
                                                 EngineProcess* process,
                                                 const Notice& notice) {
  const std::vector<int> counts = Affordable(sizes.containers, notice);
  std::vector<Case> cases;
  for (const int count : counts) {
    const std::string number = std::to_string(count);
    cases.push_back({"restart_" + number,
                     "engine's restart until " + number + " answer", "ms",
                     false});
  }
  const std::vector<Variant> variants = Variants(setup);
  for (const Variant& variant : variants) {
    Crowd crowd(setup, process, variant);
    HYDRA_RETURN_IF_ERROR(crowd.Begin());
    for (size_t step = 0; step < cases.size(); ++step) {
      notice(variant.name + ": restarts with " + std::to_string(counts[step]) +
             " containers");
      HYDRA_RETURN_IF_ERROR(crowd.GrowTo(counts[step]));
      HYDRA_ASSIGN_OR_RETURN(Samples samples,
                             MeasureRestarts(process, crowd, sizes));
      cases[step].series.push_back({variant.name, std::move(samples)});
    }
    HYDRA_RETURN_IF_ERROR(crowd.End());
  }
  return cases;
}

}  // namespace hydra::bench
