// Coroutines on the event loop.
//
//   Async<absl::Status> Start(...) {
//     absl::Status mounted = co_await RunBlocking(loop, [] { ... });
//     ...
//   }
//   Detach(Start(...));
//
// An Async is lazy: it runs when it is awaited or detached, on the loop's
// thread, and always there. Parameters that a coroutine uses after its first
// co_await are taken by value. Awaited expressions are named in a variable
// before they are tested: GCC 12 destroys temporaries of a co_await in a
// condition twice.
//
// Loop thread only.

#ifndef HYDRA_EVENT_ASYNC_H_
#define HYDRA_EVENT_ASYNC_H_

#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "shim/event/event_loop.h"

namespace hydra {

template <typename T>
class [[nodiscard]] Async;

namespace async_internal {

struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(
      std::coroutine_handle<Promise> finished) noexcept {
    auto continuation = finished.promise().continuation;
    return continuation ? continuation : std::noop_coroutine();
  }
  void await_resume() noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> continuation;
  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  // Our code throws nothing; what the library throws is out of memory.
  void unhandled_exception() noexcept { std::abort(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Async<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
};

template <>
struct Promise<void> : PromiseBase {
  Async<void> get_return_object();
  void return_void() noexcept {}
};

}  // namespace async_internal

template <typename T>
class [[nodiscard]] Async {
 public:
  using promise_type = async_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Async(Handle handle) : handle_(handle) {}
  Async(Async&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Async& operator=(Async&&) = delete;
  ~Async() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) {
    handle_.promise().continuation = caller;
    return handle_;
  }
  T await_resume() {
    if constexpr (!std::is_void_v<T>) {
      return std::move(*handle_.promise().value);
    }
  }

 private:
  Handle handle_;
};

namespace async_internal {

template <typename T>
Async<T> Promise<T>::get_return_object() {
  return Async<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Async<void> Promise<void>::get_return_object() {
  return Async<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// Owns itself: gone when it has run to its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::abort(); }
  };
};

inline Detached RunDetached(Async<void> work) { co_await work; }

}  // namespace async_internal

// Starts `work` now; nobody waits for it.
inline void Detach(Async<void> work) {
  async_internal::RunDetached(std::move(work));
}

// A value that is set once and may be awaited by many, before or after.
// Copies share it. What still waits when the last copy goes is never resumed.
template <typename T>
class Future {
  struct State;

 public:
  // Takes a callback back when it is destroyed.
  class [[nodiscard]] Subscription {
   public:
    Subscription(Subscription&&) = default;
    Subscription& operator=(Subscription&&) = delete;
    ~Subscription() {
      if (auto state = state_.lock()) state->callbacks.erase(id_);
    }

   private:
    friend class Future;
    Subscription(std::weak_ptr<State> state, uint64_t id)
        : state_(std::move(state)), id_(id) {}
    std::weak_ptr<State> state_;
    uint64_t id_;
  };

  Future() : state_(std::make_shared<State>()) {}

  bool is_set() const { return state_->value.has_value(); }
  const T& value() const { return *state_->value; }

  // Wakes the waiters, in the order in which they came. Setting it again
  // changes nothing.
  void Set(T value) const {
    if (is_set()) return;
    // A waiter may destroy the object that this Future is a member of.
    const std::shared_ptr<State> state = state_;
    state->value.emplace(std::move(value));
    while (!state->callbacks.empty()) {
      auto callback = state->callbacks.extract(state->callbacks.begin());
      callback.mapped()(*state->value);
    }
  }

  // Calls `callback` with the value, now or when it is set.
  Subscription OnSet(std::function<void(const T&)> callback) const {
    if (is_set()) {
      callback(value());
      return Subscription({}, 0);
    }
    const uint64_t id = state_->next_id++;
    state_->callbacks.emplace(id, std::move(callback));
    return Subscription(state_, id);
  }

  auto operator co_await() const { return Awaiter{state_}; }

 private:
  struct State {
    std::optional<T> value;
    uint64_t next_id = 0;
    std::map<uint64_t, std::function<void(const T&)>> callbacks;
  };
  struct Awaiter {
    std::shared_ptr<State> state;
    bool await_ready() const noexcept { return state->value.has_value(); }
    void await_suspend(std::coroutine_handle<> waiter) {
      state->callbacks.emplace(state->next_id++,
                               [waiter](const T&) { waiter.resume(); });
    }
    T await_resume() { return *state->value; }
  };
  std::shared_ptr<State> state_;
};

// Lets one coroutine at a time through, first come first served.
class AsyncMutex {
 public:
  explicit AsyncMutex(EventLoop* loop) : loop_(loop) {}
  AsyncMutex(const AsyncMutex&) = delete;
  AsyncMutex& operator=(const AsyncMutex&) = delete;

  class [[nodiscard]] Guard {
   public:
    explicit Guard(AsyncMutex* mutex) : mutex_(mutex) {}
    Guard(Guard&& other) noexcept
        : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (mutex_ != nullptr) mutex_->Unlock();
    }

   private:
    AsyncMutex* mutex_;
  };

  struct Awaiter {
    AsyncMutex* mutex;
    bool await_ready() const noexcept {
      if (mutex->locked_) return false;
      mutex->locked_ = true;
      return true;
    }
    void await_suspend(std::coroutine_handle<> waiter) {
      mutex->waiters_.push_back(waiter);
    }
    Guard await_resume() { return Guard(mutex); }
  };

  Awaiter Lock() { return Awaiter{this}; }
  bool locked() const { return locked_; }

 private:
  void Unlock() {
    if (waiters_.empty()) {
      locked_ = false;
      return;
    }
    // The lock passes on without being free in between. From the loop, so that
    // what the last holder did is complete before the next one runs.
    auto next = waiters_.front();
    waiters_.pop_front();
    loop_->Post([next] { next.resume(); });
  }

  EventLoop* const loop_;
  bool locked_ = false;
  std::deque<std::coroutine_handle<>> waiters_;
};

// Runs `work` on a thread of its own and gives its result on the loop: for
// system calls that may block (mount, umount). The thread lives as long as the
// call, so an idle head has none.
template <typename T>
Async<T> RunBlocking(EventLoop* loop, std::function<T()> work) {
  Future<bool> done;
  std::optional<T> result;
  std::thread thread([loop, &work, &result, done] {
    result.emplace(work());
    loop->Post([done] { done.Set(true); });
  });
  co_await done;
  thread.join();
  co_return std::move(*result);
}

// Whether `future` is set before `limit` has passed.
template <typename T>
Async<bool> SetWithin(EventLoop* loop, Future<T> future,
                      EventLoop::Clock::duration limit) {
  const Future<bool> done;
  const auto timer = loop->After(limit, [done] { done.Set(false); });
  const auto subscription = future.OnSet([done](const T&) { done.Set(true); });
  const bool in_time = co_await done;
  co_return in_time;
}

// Sets `done` to false after `delay`, unless it is set before; cancelled with
// the registration.
inline EventLoop::Registration SetAfter(EventLoop* loop,
                                        EventLoop::Clock::duration delay,
                                        Future<bool> done) {
  return loop->After(delay, [done] { done.Set(false); });
}

}  // namespace hydra

#endif  // HYDRA_EVENT_ASYNC_H_
