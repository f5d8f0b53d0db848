#include "shim/event/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "test/unit/base/pipe.h"
#include "test/unit/event/run_loop.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

void WriteTo(const Pipe& pipe) {
  REQUIRE(write(pipe.write.get(), "x", 1) == 1);
}

TEST_CASE("Timers fire in the order of their times, ties as they were set") {
  const auto loop = MakeLoop();
  std::string order;
  const auto c = loop->After(milliseconds(6), [&] {
    order += 'c';
    loop->Quit();
  });
  const auto a = loop->After(milliseconds(0), [&] { order += 'a'; });
  const auto b = loop->After(milliseconds(3), [&] { order += 'b'; });
  loop->Run();
  CHECK(order == "abc");
}

TEST_CASE("A timer does not fire before its delay has passed") {
  const auto loop = MakeLoop();
  const auto start = EventLoop::Clock::now();
  const auto timer = loop->After(milliseconds(20), [&] { loop->Quit(); });
  loop->Run();
  CHECK(EventLoop::Clock::now() - start >= milliseconds(20));
}

TEST_CASE("A timer whose registration is gone does not fire") {
  const auto loop = MakeLoop();
  bool fired = false;
  {
    const auto timer = loop->After(milliseconds(1), [&] { fired = true; });
  }
  auto replaced = loop->After(milliseconds(1), [&] { fired = true; });
  replaced = loop->After(milliseconds(5), [&] { loop->Quit(); });
  loop->Run();
  CHECK_FALSE(fired);
}

TEST_CASE("A timer may cancel itself and set another") {
  const auto loop = MakeLoop();
  EventLoop::Registration timer;
  int fired = 0;
  timer = loop->After(milliseconds(1), [&] {
    ++fired;
    timer = loop->After(milliseconds(1), [&] {
      ++fired;
      timer = {};
      loop->Quit();
    });
  });
  loop->Run();
  CHECK(fired == 2);
}

TEST_CASE("A watch is called as long as its descriptor is ready") {
  const auto loop = MakeLoop();
  Pipe pipe = MakePipe();
  int calls = 0;
  auto watch = loop->Watch(pipe.read.get(), EPOLLIN, [&](uint32_t events) {
    CHECK((events & EPOLLIN) != 0);
    if (++calls == 3) loop->Quit();
  });
  REQUIRE(watch.ok());
  WriteTo(pipe);
  loop->Run();
  CHECK(calls == 3);
}

TEST_CASE("A watch may remove itself inside its callback") {
  const auto loop = MakeLoop();
  Pipe pipe = MakePipe();
  WriteTo(pipe);
  auto registration = std::make_shared<EventLoop::Registration>();
  int calls = 0;
  // What the callback holds lives until the callback has returned.
  auto held = std::make_shared<int>(7);
  std::weak_ptr<int> alive = held;
  auto watch =
      loop->Watch(pipe.read.get(), EPOLLIN,
                  [&calls, registration, held = std::move(held)](uint32_t) {
                    ++calls;
                    *registration = {};
                    CHECK(*held == 7);
                  });
  REQUIRE(watch.ok());
  *registration = *std::move(watch);
  RunFor(loop.get(), milliseconds(10));
  CHECK(calls == 1);
  CHECK(alive.expired());
}

TEST_CASE("A watch may remove another that is ready in the same round") {
  const auto loop = MakeLoop();
  const Pipe pipes[] = {MakePipe(), MakePipe()};
  EventLoop::Registration watches[2];
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    WriteTo(pipes[i]);
    auto watch = loop->Watch(pipes[i].read.get(), EPOLLIN,
                             [&calls, &watches, i](uint32_t) {
                               ++calls;
                               watches[1 - i] = {};
                               watches[i] = {};
                             });
    REQUIRE(watch.ok());
    watches[i] = *std::move(watch);
  }
  RunFor(loop.get(), milliseconds(10));
  CHECK(calls == 1);
}

TEST_CASE("A descriptor closed before its registration does no harm") {
  const auto loop = MakeLoop();
  Pipe pipe = MakePipe();
  auto watch = loop->Watch(pipe.read.get(), EPOLLIN, [](uint32_t) {});
  REQUIRE(watch.ok());
  pipe.read.Reset();
}

TEST_CASE("What cannot be watched is an error") {
  const auto loop = MakeLoop();
  CHECK_FALSE(loop->Watch(-1, EPOLLIN, [](uint32_t) {}).ok());
}

TEST_CASE("Work posted by threads all runs, each thread's in its order") {
  const auto loop = MakeLoop();
  constexpr int kThreads = 4;
  constexpr int kItems = 500;
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kItems; ++i) {
        loop->Post([&, t, i] {
          seen[static_cast<size_t>(t)].push_back(i);
          if (++total == kThreads * kItems) loop->Quit();
        });
      }
    });
  }
  loop->Run();
  for (auto& thread : threads) thread.join();
  for (const auto& items : seen) {
    REQUIRE(items.size() == kItems);
    CHECK(std::is_sorted(items.begin(), items.end()));
  }
}

TEST_CASE("Work that is posted by posted work does not run inside it") {
  const auto loop = MakeLoop();
  std::string order;
  loop->Post([&] {
    loop->Post([&] {
      order += 'b';
      loop->Quit();
    });
    order += 'a';
  });
  loop->Run();
  CHECK(order == "ab");
}

}  // namespace
}  // namespace hydra
