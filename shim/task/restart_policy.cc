#include "shim/task/restart_policy.h"

#include <algorithm>

#include "hydra/v1/events.pb.h"
#include "shim/task/instance.h"
#include "shim/task/topics.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr milliseconds kFirstDelay{100};
constexpr milliseconds kLongestDelay{60'000};
constexpr std::chrono::seconds kLongRun{10};

bool StartsAgain(const state::Native& native, uint32_t exit_status) {
  switch (native.restart().name()) {
    case v1::RestartPolicy::ON_FAILURE: {
      const uint32_t limit = native.restart().max_retries();
      return exit_status != 0 && (limit == 0 || native.failures() < limit);
    }
    case v1::RestartPolicy::ALWAYS:
    case v1::RestartPolicy::UNLESS_STOPPED:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<milliseconds> DelayOfNextStart(state::Native* native,
                                             uint32_t exit_status,
                                             nanoseconds ran) {
  if (ran >= kLongRun) native->set_failures(0);
  if (native->stopped() || !StartsAgain(*native, exit_status)) {
    return std::nullopt;
  }
  milliseconds delay = kFirstDelay;
  for (uint32_t i = 0; i < native->failures() && delay < kLongestDelay; ++i) {
    delay *= 2;
  }
  native->set_failures(native->failures() + 1);
  return std::min(delay, kLongestDelay);
}

void PlanNextStart(Instance* instance) {
  state::Container* container = instance->record().mutable_container();
  if (!container->has_native()) return;
  const state::Process& init = container->init();
  const auto delay =
      DelayOfNextStart(container->mutable_native(), init.exit_status(),
                       nanoseconds(init.exited_at() - container->started_at()));
  container->mutable_native()->set_noticed(false);
  instance->Touch();
  if (!delay.has_value()) return;
  const int64_t starts_at = UnixNow() + nanoseconds(*delay).count();
  container->mutable_native()->set_next_start_at(starts_at);
  v1::Restarting event;
  event.set_container_id(instance->config().id);
  event.set_exit_status(init.exit_status());
  event.set_restarts(container->restarts());
  event.set_exited_at(init.exited_at());
  event.set_starts_at(starts_at);
  instance->EmitOwn(kRestartTopic, event);
}

}  // namespace hydra
