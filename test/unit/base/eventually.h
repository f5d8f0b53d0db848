// Waiting for what another process does, of which nothing tells.

#ifndef HYDRA_TEST_UNIT_BASE_EVENTUALLY_H_
#define HYDRA_TEST_UNIT_BASE_EVENTUALLY_H_

#include <poll.h>

#include <chrono>
#include <functional>

namespace hydra::test {

// Polls `condition` until it holds or `limit` is over; what it last was.
inline bool Eventually(const std::function<bool()>& condition,
                       std::chrono::milliseconds limit) {
  constexpr int kPollMilliseconds = 2;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, kPollMilliseconds);
  }
  return true;
}

}  // namespace hydra::test

#endif  // HYDRA_TEST_UNIT_BASE_EVENTUALLY_H_
