#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "containerd/task/v2/task.pb.h"
#include "shim/base/status.h"
#include "test/bench/cases.h"
#include "test/bench/command.h"
#include "test/bench/crowd.h"
#include "test/bench/processes.h"
#include "test/bench/ttrpc_client.h"

namespace hydra::bench {
namespace {

namespace task = containerd::task::v2;

// A connection to the shim of each container of a crowd, as an engine has it.
class Poller final {
 public:
  static absl::StatusOr<Poller> Connect(const Crowd& crowd) {
    Poller poller;
    for (const std::string& id : crowd.ids()) {
      HYDRA_ASSIGN_OR_RETURN(const std::string address, crowd.ShimAddress(id));
      HYDRA_ASSIGN_OR_RETURN(TtrpcClient client, TtrpcClient::Connect(address));
      poller.clients_.emplace_back(id, std::move(client));
    }
    return poller;
  }

  absl::Status PollAll() {
    for (auto& [id, client] : clients_) {
      task::StatsRequest request;
      request.set_id(id);
      task::StatsResponse response;
      HYDRA_RETURN_IF_ERROR(client.Call("Stats", request, &response));
      if (!response.has_stats()) return DataLoss("no stats of " + id);
    }
    return absl::OkStatus();
  }

 private:
  std::vector<std::pair<std::string, TtrpcClient>> clients_;
};

// Milliseconds of one poll of one container, all that comes after it included,
// up to the next one.
absl::StatusOr<double> MeasurePolls(const Crowd& crowd, const Variant& variant,
                                    const Sizes& sizes) {
  HYDRA_ASSIGN_OR_RETURN(Poller poller, Poller::Connect(crowd));
  HYDRA_RETURN_IF_ERROR(poller.PollAll());
  HYDRA_RETURN_IF_ERROR(crowd.Settle(sizes.settle_seconds));
  const double before = CpuMilliseconds(*variant.subject);
  for (int poll = 0; poll < sizes.polls; ++poll) {
    const auto next = std::chrono::steady_clock::now() +
                      std::chrono::seconds(sizes.poll_seconds);
    HYDRA_RETURN_IF_ERROR(poller.PollAll());
    std::this_thread::sleep_until(next);
    // Where heads rest, each poll is to find none.
    HYDRA_RETURN_IF_ERROR(crowd.Settle(0));
  }
  const double taken = CpuMilliseconds(*variant.subject) - before;
  return taken / sizes.polls / static_cast<double>(crowd.ids().size());
}

}  // namespace

absl::StatusOr<std::vector<Case>> MeasurePolls(const Setup& setup,
                                               const Sizes& sizes,
                                               EngineProcess* process,
                                               const Notice& notice) {
  Case result{"stats_poll",
              "a poll of stats, per container, every " +
                  std::to_string(sizes.poll_seconds) + " s",
              "ms of a processor", false};
  const std::vector<Variant> variants = Variants(setup);
  for (const Variant& variant : variants) {
    notice(variant.name + ": polls of " +
           std::to_string(sizes.polled_containers) + " containers");
    Crowd crowd(setup, process, variant);
    HYDRA_RETURN_IF_ERROR(crowd.Begin());
    HYDRA_RETURN_IF_ERROR(crowd.GrowTo(sizes.polled_containers));
    HYDRA_ASSIGN_OR_RETURN(const double time,
                           MeasurePolls(crowd, variant, sizes));
    Series series{variant.name, {}};
    series.samples.Add(time);
    result.series.push_back(std::move(series));
    HYDRA_RETURN_IF_ERROR(crowd.End());
  }
  return std::vector<Case>{std::move(result)};
}

}  // namespace hydra::bench
