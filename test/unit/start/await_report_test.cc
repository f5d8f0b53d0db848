#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "cmd/containerd-shim-hydra-v1/monitor_process.h"
#include "test/unit/base/pipe.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

void Write(const Pipe& pipe, const std::string& text) {
  REQUIRE(write(pipe.write.get(), text.data(), text.size()) ==
          static_cast<ssize_t>(text.size()));
}

TEST_CASE("what a monitor reports", "[start]") {
  Pipe pipe = MakePipe();
  SECTION("that it serves") {
    Write(pipe, std::string(1, '\0'));
    CHECK(*AwaitReport(pipe.read.get(), milliseconds(0)));
  }
  SECTION("why it cannot") {
    Write(pipe, "hydra-monitor: epoll_create1: EMFILE");
    const auto report = AwaitReport(pipe.read.get(), milliseconds(0));
    CHECK(report.status().message() ==
          "start hydra-monitor: epoll_create1: EMFILE");
  }
  SECTION("nothing, and it will not") {
    pipe.write.Reset();
    CHECK_FALSE(*AwaitReport(pipe.read.get(), milliseconds(0)));
  }
  SECTION("nothing yet") {
    const auto report = AwaitReport(pipe.read.get(), milliseconds(1));
    CHECK(report.status().code() == absl::StatusCode::kDeadlineExceeded);
  }
}

std::atomic<int> signals = 0;

TEST_CASE("a signal is not the end of the wait for a monitor", "[start]") {
  struct sigaction before;
  struct sigaction counting = {};
  counting.sa_handler = [](int) { ++signals; };
  REQUIRE(sigaction(SIGUSR1, &counting, &before) == 0);
  Pipe pipe = MakePipe();
  const pthread_t waiter = pthread_self();
  // Some of so many find it waiting.
  std::thread signaller([&] {
    while (signals < 100) {
      pthread_kill(waiter, SIGUSR1);
      std::this_thread::yield();
    }
    (void)!write(pipe.write.get(), "", 1);
  });
  const auto report = AwaitReport(pipe.read.get(), milliseconds(30'000));
  signaller.join();
  sigaction(SIGUSR1, &before, nullptr);
  CHECK(report.value_or(false));
}

}  // namespace
}  // namespace hydra
