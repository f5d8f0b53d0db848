// Kills heads of one containerd's instances, at random, with SIGKILL.

#ifndef HYDRA_TEST_CHAOS_HEAD_KILLER_H_
#define HYDRA_TEST_CHAOS_HEAD_KILLER_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "test/integration/harness/session.h"

namespace hydra::testing {

class HeadKiller final {
 public:
  // One of the heads that have `mark` in their arguments, every `interval` on
  // average, until the end of this object.
  HeadKiller(std::string mark, uint64_t seed, Milliseconds interval);
  ~HeadKiller();
  HeadKiller(const HeadKiller&) = delete;
  HeadKiller& operator=(const HeadKiller&) = delete;

  uint64_t kills() const { return kills_; }

 private:
  void Run(uint64_t seed);

  const std::string mark_;
  const Milliseconds interval_;
  std::atomic<uint64_t> kills_ = 0;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_CHAOS_HEAD_KILLER_H_
