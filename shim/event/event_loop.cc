#include "shim/event/event_loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "shim/base/status.h"

namespace hydra {
namespace {

constexpr uint64_t kWakeupId = 0;

}  // namespace

void EventLoop::Registration::Cancel() {
  if (loop_ != nullptr) std::exchange(loop_, nullptr)->Remove(id_);
}

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoError(errno, "epoll_create1");
  UniqueFd wakeup(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup.valid()) return ErrnoError(errno, "eventfd");
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kWakeupId;
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wakeup.get(), &event) < 0) {
    return ErrnoError(errno, "epoll_ctl eventfd");
  }
  return std::unique_ptr<EventLoop>(
      new EventLoop(std::move(epoll), std::move(wakeup)));
}

EventLoop::EventLoop(UniqueFd epoll, UniqueFd wakeup)
    : epoll_(std::move(epoll)), wakeup_(std::move(wakeup)) {}

EventLoop::~EventLoop() = default;

absl::StatusOr<EventLoop::Registration> EventLoop::Watch(
    int fd, uint32_t events, std::function<void(uint32_t)> callback) {
  const uint64_t id = next_id_++;
  epoll_event event = {};
  event.events = events;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) {
    return ErrnoError(errno, "epoll_ctl", std::to_string(fd));
  }
  watched_.emplace(id,
                   std::make_shared<Watched>(Watched{fd, std::move(callback)}));
  return Registration(this, id);
}

EventLoop::Registration EventLoop::After(Clock::duration delay,
                                         std::function<void()> callback) {
  const uint64_t id = next_id_++;
  timers_.emplace(Clock::now() + delay, Timer{id, std::move(callback)});
  return Registration(this, id);
}

void EventLoop::Remove(uint64_t id) {
  if (auto it = watched_.find(id); it != watched_.end()) {
    // Fails only if the descriptor was closed before its registration, which
    // took it out of the set as well.
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, it->second->fd, nullptr);
    watched_.erase(it);
    return;
  }
  auto timer = std::find_if(timers_.begin(), timers_.end(), [id](auto& entry) {
    return entry.second.id == id;
  });
  if (timer != timers_.end()) timers_.erase(timer);
}

void EventLoop::Post(std::function<void()> work) {
  {
    std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  const uint64_t one = 1;
  // EAGAIN means that the counter is already high: the loop will wake.
  [[maybe_unused]] const ssize_t n = write(wakeup_.get(), &one, sizeof(one));
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (auto& item : work) item();
}

int EventLoop::MillisecondsToNextTimer() const {
  if (timers_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      timers_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
}

void EventLoop::RunTimers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    auto callback = std::move(timers_.begin()->second.callback);
    timers_.erase(timers_.begin());
    callback();
  }
}

void EventLoop::Run() {
  quit_ = false;
  while (!quit_) {
    epoll_event events[16];
    const int count =
        epoll_wait(epoll_.get(), events, 16, MillisecondsToNextTimer());
    for (int i = 0; i < count && !quit_; ++i) {
      if (events[i].data.u64 == kWakeupId) {
        uint64_t ignored;
        [[maybe_unused]] const ssize_t n =
            read(wakeup_.get(), &ignored, sizeof(ignored));
        RunPosted();
        continue;
      }
      auto it = watched_.find(events[i].data.u64);
      if (it == watched_.end()) continue;  // Removed by a callback before.
      const std::shared_ptr<Watched> watched = it->second;
      watched->callback(events[i].events);
    }
    RunTimers();
  }
}

}  // namespace hydra
