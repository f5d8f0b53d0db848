// Many containers of one shim that sleep, under an engine that was started for
// them.
//
// One thread.

#ifndef HYDRA_TEST_BENCH_CROWD_H_
#define HYDRA_TEST_BENCH_CROWD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "test/bench/cases.h"
#include "test/bench/engine.h"
#include "test/bench/engine_process.h"
#include "test/bench/setup.h"

namespace hydra::bench {

// A shim, and how it is used.
struct Variant {
  const Subject* subject = nullptr;
  // What reports say.
  std::string name;
  // Whether its heads leave after a second or two without anything to do, or
  // not at all.
  bool rests = false;
};

// Each subject as it is, and then, if the first one has heads, that one with
// heads that rest.
std::vector<Variant> Variants(const Setup& setup);

// Those of `counts` that there is memory for; says of the others that they are
// left out.
std::vector<int> Affordable(const std::vector<int>& counts,
                            const Notice& notice);

class Crowd final {
 public:
  // All must outlive this.
  Crowd(const Setup& setup, EngineProcess* process, const Variant& variant)
      : setup_(setup),
        process_(*process),
        variant_(variant),
        containers_(setup) {}

  // Starts the engine anew, and so that heads rest as the variant says.
  absl::Status Begin();
  // Starts containers until there are `count`, which does not shrink.
  absl::Status GrowTo(int count);
  // Until nothing goes on that comes of what was done before: no head is there,
  // if they rest; `settle_seconds` otherwise.
  //
  // Errors: DeadlineExceeded if some stay.
  absl::Status Settle(int settle_seconds) const;
  // Removes them.
  absl::Status End();

  const std::vector<std::string>& ids() const { return ids_; }
  absl::StatusOr<std::string> ShimAddress(const std::string& id) const {
    return containers_.ShimAddress(id);
  }

 private:
  const Setup& setup_;
  EngineProcess& process_;
  const Variant& variant_;
  Engine containers_;
  std::vector<std::string> ids_;
};

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_CROWD_H_
