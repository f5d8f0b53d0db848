// What the lanes of the chaos test share.

#ifndef HYDRA_TEST_CHAOS_WORLD_H_
#define HYDRA_TEST_CHAOS_WORLD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "test/chaos/engine_client.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {

// Keeps the engine alive during calls of which it would itself not know, after
// its death, whether it had made them: Create and Delete of its objects.
class Gate final {
 public:
  class Pass final {
   public:
    explicit Pass(Gate* gate);
    ~Pass();
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    Gate* gate_;
  };
  // Lets nobody in any more, and returns when everybody is out.
  void Close();
  void Open();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool closed_ = false;
};

// The events of all lives of the engine. Its number is even while the
// subscription to the current one is in force, odd in between.
class EventLog final {
 public:
  explicit EventLog(const Containerd* engine) : engine_(engine) { Subscribe(); }

  uint64_t epoch() const { return epoch_; }
  // The engine is about to be killed.
  void Lose() { ++epoch_; }
  // It is back.
  void Resume();

  // Until the exit of a process has been told, or the engine was lost: false
  // at the limit.
  bool WaitForExit(uint64_t epoch, const std::string& id,
                   const std::string& exec_id);

  // What is wrong with the events of a container, or nothing. `complete`: no
  // engine died in its time, so all of them must be there.
  std::string Check(const std::string& id, bool complete) const;

 private:
  void Subscribe();
  std::shared_ptr<Events> current() const;

  const Containerd* engine_;
  std::atomic<uint64_t> epoch_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Events>> lives_;
};

struct World {
  uint64_t seed = 0;
  Containerd* containerd = nullptr;
  std::string runtime;
  EngineClient* engine = nullptr;
  EventLog* events = nullptr;
  std::string directory;  // For streams.
  std::string rootfs;
  Gate gate;

  // The lanes begin no further container.
  std::atomic<bool> finish = false;

  std::atomic<uint64_t> containers = 0;
  std::atomic<uint64_t> execs = 0;
  std::atomic<uint64_t> operations = 0;
  std::atomic<uint64_t> bytes = 0;

  // A failure of any lane ends the run.
  void Fail(const std::string& id, const std::string& what);
  std::vector<std::string> failures();

 private:
  std::mutex mutex_;
  std::vector<std::string> failures_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_CHAOS_WORLD_H_
