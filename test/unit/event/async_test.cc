#include "shim/event/async.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "test/unit/event/run_loop.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

Async<void> Append(std::string* order, char letter, Future<int> future) {
  const int value = co_await future;
  *order += letter;
  *order += std::to_string(value);
}

Async<int> Sum(Future<int> a, Future<int> b) {
  const int first = co_await a;
  const int second = co_await b;
  co_return first + second;
}

Async<void> Hold(AsyncMutex* mutex, std::string* order, char letter,
                 Future<int> release) {
  const auto guard = co_await mutex->Lock();
  *order += letter;
  co_await release;
  *order += letter;
}

TEST_CASE("A Future gives its value to those who came before and after") {
  Future<int> future;
  std::string order;
  Detach(Append(&order, 'a', future));
  Detach(Append(&order, 'b', future));
  CHECK(order.empty());
  CHECK_FALSE(future.is_set());
  future.Set(1);
  CHECK(order == "a1b1");
  future.Set(2);
  Detach(Append(&order, 'c', future));
  CHECK(order == "a1b1c1");
  CHECK(future.value() == 1);
}

TEST_CASE("A Future may go while it wakes its waiters") {
  auto future = std::make_unique<Future<int>>();
  std::string order;
  const auto first = future->OnSet([&](const int&) { future.reset(); });
  const auto second =
      future->OnSet([&](const int& value) { order += std::to_string(value); });
  future->Set(4);
  CHECK(order == "4");
}

TEST_CASE("A Subscription that is gone is not called") {
  Future<int> future;
  int calls = 0;
  {
    const auto gone = future.OnSet([&](const int&) { ++calls; });
    const auto moved_from = future.OnSet([&](const int&) { ++calls; });
  }
  const auto kept = future.OnSet([&](const int&) { ++calls; });
  future.Set(1);
  CHECK(calls == 1);
}

TEST_CASE("A Subscription may outlive its Future") {
  auto future = std::make_unique<Future<int>>();
  const auto subscription = future->OnSet([](const int&) {});
  future.reset();
}

TEST_CASE("OnSet of a set Future calls at once") {
  Future<int> future;
  future.Set(5);
  int value = 0;
  const auto subscription = future.OnSet([&](const int& v) { value = v; });
  CHECK(value == 5);
}

TEST_CASE("An Async runs when it is awaited, not before") {
  const auto loop = MakeLoop();
  Future<int> a;
  Future<int> b;
  Async<int> sum = Sum(a, b);
  loop->Post([&] { b.Set(2); });
  loop->Post([&] { a.Set(40); });
  CHECK(Await(loop.get(), std::move(sum)) == 42);
}

TEST_CASE("An Async that nobody awaits frees what it holds") {
  Future<int> future;
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> alive = held;
  {
    struct Body {
      static Async<void> Run(std::shared_ptr<int> value) {
        *value = 2;
        co_return;
      }
    };
    const Async<void> never = Body::Run(std::move(held));
  }
  CHECK(alive.expired());
}

TEST_CASE("A detached coroutine frees its frame when it ends") {
  struct Body {
    static Async<void> Run(std::shared_ptr<int> value, Future<int> future) {
      *value = co_await future;
    }
  };
  Future<int> future;
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> alive = held;
  Detach(Body::Run(std::move(held), future));
  CHECK_FALSE(alive.expired());
  future.Set(1);
  CHECK(alive.expired());
}

TEST_CASE("AsyncMutex lets one through at a time, first come first served") {
  const auto loop = MakeLoop();
  AsyncMutex mutex(loop.get());
  std::string order;
  Future<int> release[3];
  for (int i = 0; i < 3; ++i) {
    Detach(Hold(&mutex, &order, static_cast<char>('a' + i), release[i]));
  }
  CHECK(order == "a");
  // The order of the releases is not that of the turns.
  release[2].Set(0);
  release[1].Set(0);
  CHECK(order == "a");
  release[0].Set(0);
  // The next one comes from the loop, not from inside the release.
  CHECK(order == "aa");
  CHECK(mutex.locked());
  REQUIRE(RunUntil(loop.get(), [&] { return !mutex.locked(); }));
  CHECK(order == "aabbcc");
}

TEST_CASE("A newcomer does not overtake one that was handed the lock") {
  const auto loop = MakeLoop();
  AsyncMutex mutex(loop.get());
  std::string order;
  Future<int> release[3];
  Detach(Hold(&mutex, &order, 'a', release[0]));
  Detach(Hold(&mutex, &order, 'b', release[1]));
  release[0].Set(0);
  Detach(Hold(&mutex, &order, 'c', release[2]));
  CHECK(order == "aa");
  release[1].Set(0);
  release[2].Set(0);
  REQUIRE(RunUntil(loop.get(), [&] { return !mutex.locked(); }));
  CHECK(order == "aabbcc");
}

TEST_CASE("RunBlocking works on a thread and ends on the loop") {
  const auto loop = MakeLoop();
  const auto loop_thread = std::this_thread::get_id();
  std::thread::id work_thread;
  const std::function<int()> work = [&] {
    work_thread = std::this_thread::get_id();
    return 3;
  };
  CHECK(Await(loop.get(), RunBlocking<int>(loop.get(), work)) == 3);
  CHECK(work_thread != loop_thread);
}

TEST_CASE("SetWithin tells a value in time from a time-out") {
  const auto loop = MakeLoop();
  Future<int> future;
  CHECK_FALSE(
      Await(loop.get(), SetWithin(loop.get(), future, milliseconds(1))));
  loop->Post([&] { future.Set(1); });
  CHECK(Await(loop.get(), SetWithin(loop.get(), future, milliseconds(5000))));
  CHECK(Await(loop.get(), SetWithin(loop.get(), future, milliseconds(5000))));
}

TEST_CASE("SetAfter sets false, unless its registration is gone") {
  const auto loop = MakeLoop();
  Future<bool> cancelled;
  Future<bool> set;
  { const auto gone = SetAfter(loop.get(), milliseconds(1), cancelled); }
  const auto timer = SetAfter(loop.get(), milliseconds(2), set);
  REQUIRE(RunUntil(loop.get(), [&] { return set.is_set(); }));
  CHECK_FALSE(set.value());
  CHECK_FALSE(cancelled.is_set());
}

}  // namespace
}  // namespace hydra
