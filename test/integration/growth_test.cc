// Nothing of Hydra's grows with what it has done: the memory, the descriptors
// and the children of its processes are the same after many requests, many
// execs and much output as after some.
//
//   HYDRA_TEST_GROWTH_RPCS       requests, 50,000
//   HYDRA_TEST_GROWTH_EXECS      execs, 200
//   HYDRA_TEST_GROWTH_MEGABYTES  of output, 1000

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/grpc_client.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

// Twice what it takes a head until it gives memory back; and then nothing is to
// happen any more.
constexpr Milliseconds kQuiet{1000};
// A heap that has come to be cut up in another way: some pages.
constexpr long kToleranceKb = 32;
// Each of the dozen threads of gRPC keeps some of what it has freed, of all
// sizes: a bounded cache (glibc's tcache), which fills slowly.
constexpr long kThreadsToleranceKb = 1024;
// What fills the head's history of events, which has a bound of 256: each exec
// is four of them.
constexpr uint64_t kLeastBefore = 80;

uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : strtoull(value, nullptr, 10);
}

// Heads that do not leave. First, because containerd inherits it.
struct NoIdleTime {
  NoIdleTime() { setenv("HYDRA_IDLE_SECONDS", "0", 1); }
  ~NoIdleTime() { unsetenv("HYDRA_IDLE_SECONDS"); }
};

// What one process has.
struct Footprint {
  // Memory that no file is behind: what it shares with others of its program is
  // none of it.
  long anonymous_kb = 0;
  size_t fds = 0;
  size_t children = 0;
};

std::ostream& operator<<(std::ostream& out, const Footprint& footprint) {
  return out << footprint.anonymous_kb << " kB, " << footprint.fds
             << " descriptors, " << footprint.children << " children";
}

class GrowthTest : private NoIdleTime, public IntegrationTest {
 public:
  GrowthTest() {
    StartDetached("c", {"/bin/sleep", "100000"});
    shim_ = Shim("c");
  }

  // Does `work` of a tenth of `amount`, which fills what is kept for the next
  // time, and then of all of it. What there is after that must be what there
  // was before.
  void CheckGrowth(const std::string& what, uint64_t amount,
                   const std::function<void(uint64_t)>& work);

 protected:
  TaskClient task() { return TaskClient(shim_.get()); }
  std::unique_ptr<TtrpcClient> shim_;

 private:
  Footprint Of(pid_t pid);
  // By name.
  std::map<std::string, pid_t> Processes();
};

std::map<std::string, pid_t> GrowthTest::Processes() {
  const v1::InspectResponse inspected = Inspect("c");
  std::map<std::string, pid_t> processes = {
      {"monitor", inspected.monitor().pid()}, {"head", inspected.head().pid()}};
  for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
    if (process.parent == inspected.monitor().pid() &&
        process.command.find("hydra-grpc") != std::string::npos) {
      processes["hydra-grpc"] = process.pid;
    }
  }
  return processes;
}

Footprint GrowthTest::Of(pid_t pid) {
  const std::string directory = "/proc/" + std::to_string(pid);
  Footprint footprint;
  for (const std::string& line :
       Lines(ReadFile(directory + "/smaps_rollup").value_or(""))) {
    const std::vector<std::string> words = Words(line);
    if (words.size() == 3 && words[0] == "Anonymous:") {
      footprint.anonymous_kb = std::stol(words[1]);
    }
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(directory + "/fd")) {
    (void)entry;
    ++footprint.fds;
  }
  for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
    footprint.children += process.parent == pid;
  }
  return footprint;
}

void GrowthTest::CheckGrowth(const std::string& what, uint64_t amount,
                             const std::function<void(uint64_t)>& work) {
  work(std::max(amount / 10, kLeastBefore));
  std::this_thread::sleep_for(kQuiet);
  const auto processes = Processes();
  std::map<std::string, Footprint> before;
  for (const auto& [name, pid] : processes) before[name] = Of(pid);
  const auto begin = Clock::now();
  work(amount);
  const std::chrono::duration<double> took = Clock::now() - begin;
  // The same processes, or nothing would be compared.
  CHECK(Processes() == processes);
  CHECK(Inspect("c").head().deaths() == 0);
  std::cout << amount << " " << what << " in " << took.count() << " s\n";
  for (const auto& [name, pid] : processes) {
    const Footprint& first = before[name];
    const long tolerance =
        name == "hydra-grpc" ? kThreadsToleranceKb : kToleranceKb;
    Footprint last;
    const bool same = Eventually([&, &pid = pid] {
      last = Of(pid);
      return last.anonymous_kb <= first.anonymous_kb + tolerance &&
             last.fds == first.fds && last.children == first.children;
    });
    std::cout << "  " << name << ": " << first << " before, " << last
              << " after\n";
    INFO(name << ", " << what << ": " << first << " before, " << last
              << " after");
    CHECK(same);
  }
}

TEST_CASE_METHOD(GrowthTest, "Requests leave nothing behind",
                 "[growth][slow][hydra]") {
  GrpcClient grpc_client(containerd().shim_socket("c"));
  const auto call = [&](uint64_t number) {
    const bool over_grpc = number % 8 == 7;
    Transport* transport = over_grpc ? static_cast<Transport*>(&grpc_client)
                                     : static_cast<Transport*>(shim_.get());
    TaskClient task(transport);
    task_api::StatsRequest stats;
    stats.set_id("c");
    switch (number / 8 % 6) {
      case 0:
        return task.State("c").code == Code::kOk;
      case 1:
        return task.Do("Stats", stats).code == Code::kOk;
      case 2:
        return task.Pids("c").code == Code::kOk;
      case 3:
        return task.Connect("c").code == Code::kOk;
      case 4:
        return task.State("c", "missing").code == Code::kNotFound;
      default:
        return transport->Call(kTaskV2, "Missing", "").code ==
               Code::kUnimplemented;
    }
  };
  CheckGrowth("requests", Setting("HYDRA_TEST_GROWTH_RPCS", 50'000),
              [&](uint64_t amount) {
                for (uint64_t i = 0; i < amount; ++i) {
                  CAPTURE(i);
                  REQUIRE(call(i));
                  if (i % 100 != 0) continue;
                  // A client goes with a request that waits.
                  (void)SendWait(shim_.get(), "c");
                  shim_ = Shim("c");
                }
              });
}

TEST_CASE_METHOD(GrowthTest, "Execs leave nothing behind",
                 "[growth][slow][hydra]") {
  const std::string fifo = containerd().directory() + "/output";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  const UniqueFd output(open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  CheckGrowth("execs", Setting("HYDRA_TEST_GROWTH_EXECS", 200),
              [&](uint64_t amount) {
                for (uint64_t i = 0; i < amount; ++i) {
                  const std::string id = "e" + std::to_string(i);
                  CAPTURE(id);
                  const bool terminal = i % 4 == 0;
                  REQUIRE(task()
                              .Exec("c", id, "echo out; exit 3", terminal,
                                    i % 2 == 0 ? fifo : "")
                              .code == Code::kOk);
                  REQUIRE(task().Start("c", id).ok());
                  REQUIRE(task().Wait("c", id).value.exit_status() == 3);
                  REQUIRE(task().Delete("c", id).value.exit_status() == 3);
                  char buffer[4096];
                  while (read(output.get(), buffer, sizeof(buffer)) > 0) {
                  }
                }
              });
}

// Reads `size` bytes, and stops now and then for long enough that output goes
// by way of the spool. False if nothing comes any more.
bool ReadWithPauses(int fd, uint64_t size) {
  constexpr uint64_t kBetweenPauses = 64 << 20;
  static char buffer[256 << 10];
  uint64_t until_pause = kBetweenPauses;
  while (size > 0) {
    pollfd polled = {fd, POLLIN, 0};
    if (poll(&polled, 1, static_cast<int>(kPatience.count())) <= 0)
      return false;
    const ssize_t n = read(fd, buffer, std::min(sizeof(buffer), size));
    if (n <= 0) return false;
    size -= static_cast<uint64_t>(n);
    if (until_pause > static_cast<uint64_t>(n)) {
      until_pause -= static_cast<uint64_t>(n);
    } else {
      std::this_thread::sleep_for(Milliseconds(100));
      until_pause = kBetweenPauses;
    }
  }
  return true;
}

TEST_CASE_METHOD(GrowthTest, "Output leaves nothing behind",
                 "[growth][slow][hydra]") {
  const std::string fifo = containerd().directory() + "/output";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  const UniqueFd output(open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  int execs = 0;
  CheckGrowth("megabytes", Setting("HYDRA_TEST_GROWTH_MEGABYTES", 1000),
              [&](uint64_t amount) {
                const uint64_t size = amount * 1'000'000;
                const std::string id = "e" + std::to_string(execs++);
                REQUIRE(task()
                            .Exec("c", id,
                                  "exec /payload/numbered-lines " +
                                      std::to_string(size),
                                  false, fifo)
                            .code == Code::kOk);
                REQUIRE(task().Start("c", id).ok());
                REQUIRE(ReadWithPauses(output.get(), size));
                REQUIRE(task().Wait("c", id).value.exit_status() == 0);
                REQUIRE(task().Delete("c", id).ok());
              });
}

}  // namespace
}  // namespace hydra::testing
