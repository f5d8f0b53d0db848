// The loop that owns all of the head's state: descriptors, timers, and work
// posted by other threads.
//
// Everything but Post() is for the loop's own thread. Callbacks never block
// and never call Run(). A callback may add and remove watches, its own too.

#ifndef HYDRA_EVENT_EVENT_LOOP_H_
#define HYDRA_EVENT_EVENT_LOOP_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"

namespace hydra {

class EventLoop final {
 public:
  using Clock = std::chrono::steady_clock;

  // Ends what it stands for when it is destroyed. Does not own a watched
  // descriptor, which must stay open as long as the registration lives.
  class Registration {
   public:
    Registration() = default;
    Registration(Registration&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_) {}
    Registration& operator=(Registration&& other) noexcept {
      if (this != &other) {
        Cancel();
        loop_ = std::exchange(other.loop_, nullptr);
        id_ = other.id_;
      }
      return *this;
    }
    ~Registration() { Cancel(); }
    void Cancel();

   private:
    friend class EventLoop;
    Registration(EventLoop* loop, uint64_t id) : loop_(loop), id_(id) {}
    EventLoop* loop_ = nullptr;
    uint64_t id_ = 0;
  };

  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Calls `callback(events)` while any of `events` (EPOLLIN, ...) holds, level
  // triggered. Fails with epoll_ctl(2)'s error.
  [[nodiscard]] absl::StatusOr<Registration> Watch(
      int fd, uint32_t events, std::function<void(uint32_t)> callback);

  // Calls `callback` once, not before `delay` has passed.
  [[nodiscard]] Registration After(Clock::duration delay,
                                   std::function<void()> callback);

  // Runs `work` on the loop, in the order of the calls. Any thread; never
  // called back from inside Post().
  void Post(std::function<void()> work);

  // Serves until Quit().
  void Run();
  void Quit() { quit_ = true; }

 private:
  struct Watched {
    int fd;
    std::function<void(uint32_t)> callback;
  };
  struct Timer {
    uint64_t id;
    std::function<void()> callback;
  };

  EventLoop(UniqueFd epoll, UniqueFd wakeup);
  void Remove(uint64_t id);
  int MillisecondsToNextTimer() const;
  void RunTimers();
  void RunPosted();

  const UniqueFd epoll_;
  const UniqueFd wakeup_;
  bool quit_ = false;
  uint64_t next_id_ = 1;
  // Shared: a callback may remove its own watch while it runs.
  std::unordered_map<uint64_t, std::shared_ptr<Watched>> watched_;
  std::multimap<Clock::time_point, Timer> timers_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
};

}  // namespace hydra

#endif  // HYDRA_EVENT_EVENT_LOOP_H_
