// Running a loop from a test: until something holds, or a coroutine has ended.

#ifndef HYDRA_TEST_UNIT_EVENT_RUN_LOOP_H_
#define HYDRA_TEST_UNIT_EVENT_RUN_LOOP_H_

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "shim/event/async.h"
#include "shim/event/event_loop.h"

namespace hydra {

inline std::unique_ptr<EventLoop> MakeLoop() {
  auto loop = EventLoop::Create();
  REQUIRE(loop.ok());
  return *std::move(loop);
}

// Runs the loop until `done`, which is looked at every millisecond. False if
// that takes longer than `limit`.
inline bool RunUntil(
    EventLoop* loop, const std::function<bool()>& done,
    std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const auto deadline = EventLoop::Clock::now() + limit;
  while (!done()) {
    if (EventLoop::Clock::now() > deadline) return false;
    const auto timer =
        loop->After(std::chrono::milliseconds(1), [loop] { loop->Quit(); });
    loop->Run();
  }
  return true;
}

// Lets the loop handle what is there.
inline void RunFor(EventLoop* loop, std::chrono::milliseconds time) {
  RunUntil(
      loop, [] { return false; }, time);
}

template <typename T>
Async<void> StoreResult(Async<T> work, std::shared_ptr<std::optional<T>> out) {
  T result = co_await work;
  out->emplace(std::move(result));
}

// What a coroutine gives in the end.
template <typename T>
T Await(EventLoop* loop, Async<T> work) {
  auto result = std::make_shared<std::optional<T>>();
  Detach(StoreResult(std::move(work), result));
  REQUIRE(RunUntil(loop, [&] { return result->has_value(); }));
  return std::move(**result);
}

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_EVENT_RUN_LOOP_H_
