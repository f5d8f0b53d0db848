// Many containers: one after the other, at the same time, on two engines.

#include <atomic>
#include <catch2/catch.hpp>
#include <iostream>
#include <thread>

#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/image.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

// Calls work(0) to work(count - 1) on `threads` threads.
void InParallel(size_t count, size_t threads,
                const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  std::vector<std::thread> workers;
  for (size_t i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      for (size_t item = next++; item < count; item = next++) work(item);
    });
  }
  for (std::thread& worker : workers) worker.join();
}

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

TEST_CASE_METHOD(IntegrationTest,
                 "Containers that exit at once keep the order of events",
                 "[load][events]") {
  events();
  for (int i = 0; i < 50; ++i) {
    const std::string id = "c" + std::to_string(i);
    CAPTURE(id);
    const Result result = RunContainer(id, {"/bin/true"});
    CAPTURE(result.err);
    REQUIRE(result.status == 0);
    REQUIRE(events().WaitFor("/tasks/delete", id).has_value());
    REQUIRE(events().Summary(id) == "create start exit=0 delete=0");
  }
}

TEST_CASE_METHOD(IntegrationTest, "64 containers start at the same time",
                 "[load]") {
  constexpr size_t kCount = 64;
  events();
  std::vector<Result> results(kCount);
  InParallel(kCount, kCount, [&](size_t i) {
    const std::string number = std::to_string(i);
    results[i] = RunScript("c" + number, "echo " + number + "; exit " + number,
                           {"--rm"}, Milliseconds(120'000));
  });
  for (size_t i = 0; i < kCount; ++i) {
    const std::string number = std::to_string(i);
    CAPTURE(number, results[i].err);
    CHECK(results[i].status == static_cast<int>(i));
    CHECK(results[i].out == number + "\n");
    CHECK(events().WaitFor("/tasks/delete", "c" + number).has_value());
    CHECK(events().Summary("c" + number) ==
          "create start exit=" + number + " delete=" + number);
  }
}

TEST_CASE_METHOD(IntegrationTest, "500 containers run at the same time",
                 "[slow]") {
  constexpr size_t kCount = 500;
  constexpr size_t kAtOnce = 4;
  events();
  auto begin = std::chrono::steady_clock::now();
  std::vector<Result> results(kCount);
  InParallel(kCount, kAtOnce, [&](size_t i) {
    results[i] = RunContainer("c" + std::to_string(i), {"/bin/sleep", "100000"},
                              {"-d", "--null-io"});
  });
  std::cout << runtime() << ": 500 starts in " << SecondsSince(begin) << " s\n";
  for (size_t i = 0; i < kCount; ++i) {
    CAPTURE(i, results[i].err);
    REQUIRE(results[i].status == 0);
  }
  const auto running = [this] {
    size_t count = 0;
    for (const std::string& line : Lines(Ctr({"tasks", "ls"}).out)) {
      count += line.find("RUNNING") != std::string::npos;
    }
    return count;
  };
  CHECK(running() == kCount);

  containerd().Kill();
  begin = std::chrono::steady_clock::now();
  containerd().Start();
  CHECK(Eventually([&] { return running() == kCount; }, Milliseconds(120'000)));
  std::cout << runtime() << ": 500 answer again " << SecondsSince(begin)
            << " s after the engine's restart\n";

  begin = std::chrono::steady_clock::now();
  InParallel(kCount, kAtOnce,
             [&](size_t i) { results[i] = Remove("c" + std::to_string(i)); });
  std::cout << runtime() << ": 500 removed in " << SecondsSince(begin)
            << " s\n";
  for (size_t i = 0; i < kCount; ++i) {
    CAPTURE(i, results[i].err);
    CHECK(results[i].status == 0);
  }
  CHECK(running() == 0);
}

TEST_CASE_METHOD(IntegrationTest,
                 "Two engines use the same namespace and ids side by side",
                 "[engine][hydra]") {
  // With the reference shim both would meet in /run/containerd/runc.
  Containerd second({.ns = containerd().ns()});
  const std::string archive = second.directory() + "/image.tar";
  WriteImage(archive);
  REQUIRE(Run(second.CtrCommand({"images", "import", archive})).status == 0);
  StartDetached("c", {"/bin/sleep", "1000"});
  const Result started = Run(second.CtrCommand(
      RunArguments("c", {"/bin/sh", "-c", "sleep 1000; exit 1"},
                   {"-d", "--null-io", "--cgroup", "/" + second.mark()})));
  CAPTURE(started.err);
  REQUIRE(started.status == 0);
  CHECK(containerd().shim_socket("c") != second.shim_socket("c"));

  CHECK(Run(second.CtrCommand({"tasks", "kill", "-s", "KILL", "c"})).status ==
        0);
  CHECK(Eventually([&] {
    return Run(second.CtrCommand({"tasks", "ls"})).out.find("STOPPED") !=
           std::string::npos;
  }));
  CHECK(TaskStatus("c") == "RUNNING");
  CHECK(Exec("c", "e", {"/bin/true"}).status == 0);
  CHECK(
      Run(second.CtrCommand({"tasks", "rm", "c"})).err.find("exit code 137") !=
      std::string::npos);
  CHECK(Run(second.CtrCommand({"containers", "rm", "c"})).status == 0);
  CHECK(TaskStatus("c") == "RUNNING");
  CHECK(Eventually([&] { return second.Leftovers().empty(); }));
}

}  // namespace
}  // namespace hydra::testing
