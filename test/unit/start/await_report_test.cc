#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "cmd/containerd-shim-hydra-v1/monitor_process.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

struct Pipe {
  Pipe() {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    read_end.Reset(ends[0]);
    write_end.Reset(ends[1]);
  }
  void Write(const std::string& text) const {
    REQUIRE(write(write_end.get(), text.data(), text.size()) ==
            static_cast<ssize_t>(text.size()));
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

TEST_CASE("what a monitor reports", "[start]") {
  Pipe pipe;
  SECTION("that it serves") {
    pipe.Write(std::string(1, '\0'));
    CHECK(*AwaitReport(pipe.read_end.get(), milliseconds(0)));
  }
  SECTION("why it cannot") {
    pipe.Write("hydra-monitor: epoll_create1: EMFILE");
    const auto report = AwaitReport(pipe.read_end.get(), milliseconds(0));
    CHECK(report.status().message() ==
          "start hydra-monitor: epoll_create1: EMFILE");
  }
  SECTION("nothing, and it will not") {
    pipe.write_end.Reset();
    CHECK_FALSE(*AwaitReport(pipe.read_end.get(), milliseconds(0)));
  }
  SECTION("nothing yet") {
    const auto report = AwaitReport(pipe.read_end.get(), milliseconds(1));
    CHECK(report.status().code() == absl::StatusCode::kDeadlineExceeded);
  }
}

std::atomic<int> signals = 0;

TEST_CASE("a signal is not the end of the wait for a monitor", "[start]") {
  struct sigaction before;
  struct sigaction counting = {};
  counting.sa_handler = [](int) { ++signals; };
  REQUIRE(sigaction(SIGUSR1, &counting, &before) == 0);
  Pipe pipe;
  const pthread_t waiter = pthread_self();
  // Some of so many find it waiting.
  std::thread signaller([&] {
    while (signals < 100) {
      pthread_kill(waiter, SIGUSR1);
      std::this_thread::yield();
    }
    (void)!write(pipe.write_end.get(), "", 1);
  });
  const auto report = AwaitReport(pipe.read_end.get(), milliseconds(30'000));
  signaller.join();
  sigaction(SIGUSR1, &before, nullptr);
  CHECK(report.value_or(false));
}

}  // namespace
}  // namespace hydra
