// Heads and the engine die at random, under load: nobody notices.
//
//   HYDRA_CHAOS_SEED     of the plan; by default another one each time
//   HYDRA_CHAOS_KILLS    heads to kill, 1000
//   HYDRA_CHAOS_ENGINES  engines to kill meanwhile, 3
//   HYDRA_CHAOS_LANES    containers at a time, 12
//   HYDRA_CHAOS_PACE     milliseconds between two kills, on average, 80

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "test/chaos/head_killer.h"
#include "test/chaos/lane.h"
#include "test/chaos/world.h"
#include "test/integration/harness/image.h"

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : strtoull(value, nullptr, 10);
}

// Ends what it began, also when an assertion of the main thread throws.
class Lanes final {
 public:
  Lanes(World* world, uint64_t count) : world_(world) {
    for (uint64_t lane = 0; lane < count; ++lane) {
      threads_.emplace_back([world, lane] { RunLane(world, lane); });
    }
  }
  ~Lanes() { Finish(); }
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  void Finish() {
    world_->finish = true;
    world_->gate.Open();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  World* world_;
  std::vector<std::thread> threads_;
};

void RestartEngine(World* world) {
  world->gate.Close();
  world->events->Lose();
  world->containerd->Kill();
  world->containerd->Start();
  world->events->Resume();
  world->gate.Open();
}

class ChaosTest : public IntegrationTest {
 public:
  ChaosTest() : IntegrationTest(kHydraRuntime) {}
};

TEST_CASE_METHOD(ChaosTest, "Heads and engines die, and nobody notices",
                 "[chaos][hydra]") {
  const uint64_t seed = Setting("HYDRA_CHAOS_SEED", std::random_device()());
  const uint64_t wanted = Setting("HYDRA_CHAOS_KILLS", 1000);
  const uint64_t engines = Setting("HYDRA_CHAOS_ENGINES", 3);
  const uint64_t lanes = Setting("HYDRA_CHAOS_LANES", 12);
  const Milliseconds pace(Setting("HYDRA_CHAOS_PACE", 80));
  // Printed first, for a run that does not come to its end.
  std::cout << "seed " << seed << std::endl;

  EngineClient engine(containerd().socket(), containerd().ns());
  EventLog events(&containerd());
  World world;
  world.seed = seed;
  world.containerd = &containerd();
  world.runtime = runtime();
  world.engine = &engine;
  world.events = &events;
  world.directory = containerd().directory() + "/streams";
  world.rootfs = containerd().directory() + "/rootfs";
  std::filesystem::create_directory(world.directory);
  WriteRootfs(world.rootfs);

  const auto begin = Clock::now();
  // A machine that is ten times slower than planned is no reason to hang.
  const auto deadline = begin + 10 * wanted * pace + kPatience;
  uint64_t kills = 0;
  uint64_t restarts = 0;
  {
    HeadKiller killer(containerd().mark(), seed, pace);
    Lanes running(&world, lanes);
    while (!world.finish && killer.kills() < wanted &&
           Clock::now() < deadline) {
      const uint64_t due = killer.kills() * (engines + 1) / wanted;
      if (due > restarts && restarts < engines) {
        RestartEngine(&world);
        ++restarts;
        std::cout << killer.kills() << " heads killed, engine back, "
                  << world.containers << " containers" << std::endl;
      }
      std::this_thread::sleep_for(Milliseconds(100));
    }
    running.Finish();
    kills = killer.kills();
  }
  const std::chrono::duration<double> took = Clock::now() - begin;
  std::cout << kills << " heads and " << restarts << " engines killed, "
            << world.containers << " containers, " << world.execs << " execs, "
            << world.operations << " operations, " << world.bytes
            << " bytes of output, " << took.count() << " s, "
            << world.failures().size() << " failures\n";
  for (const std::string& failure : world.failures()) {
    UNSCOPED_INFO(failure);
  }
  CHECK(world.failures().empty());
  CHECK(kills >= wanted);
  CHECK(restarts == engines);
  CHECK(world.containers > 0);
}

}  // namespace
}  // namespace hydra::testing
