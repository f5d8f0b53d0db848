// The log of what the container's init writes, as the head sees it: read for
// clients, begun for one that comes where there is none, and waited for.
//
// The monitor writes it (link/journal.h), and nothing here slows it down or is
// lost with a head: a client that waits has a request that the next head gets
// again.
//
// Loop thread only.

#ifndef HYDRA_TASK_OUTPUT_LOG_H_
#define HYDRA_TASK_OUTPUT_LOG_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "shim/base/unique_fd.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/io/journal_reader.h"

namespace hydra {

class Instance;

class OutputLog final {
 public:
  OutputLog(EventLoop* loop, Instance* instance);
  OutputLog(const OutputLog&) = delete;
  OutputLog& operator=(const OutputLog&) = delete;

  std::string directory() const;
  JournalReader reader() const { return JournalReader(directory()); }

  // Somebody is about to read it. Begins one if the container has none; that
  // one ends by itself, a minute after the last call. An errno's status if
  // there can be none.
  absl::Status Use();
  // Goes on with one that a head before us has begun.
  void TakeOver();

  // While one exists, wake_fd() is valid and becomes readable when something is
  // written.
  class [[nodiscard]] Follower {
   public:
    explicit Follower(OutputLog* log) : log_(log) { ++log_->followers_; }
    Follower(const Follower&) = delete;
    Follower& operator=(const Follower&) = delete;
    ~Follower() { --log_->followers_; }

   private:
    OutputLog* const log_;
  };
  // Set when there may be more to read, or no more to come. An errno's status
  // if it cannot be watched.
  absl::StatusOr<Future<bool>> Changed();
  // Sets that.
  void Wake();
  int wake_fd() const { return followers_ > 0 ? inotify_.get() : -1; }

  // Nothing of it is left to be done by this head.
  bool idle() const { return !end_.has_value(); }
  // The container goes.
  void Close();

 private:
  absl::Status Begin();
  void EndLater();
  void End();
  absl::Status Watch();

  EventLoop* const loop_;
  Instance& instance_;
  UniqueFd inotify_;
  EventLoop::Registration watch_;
  int followers_ = 0;
  Future<bool> changed_;
  // Of a log that was begun for a client.
  std::optional<EventLoop::Registration> end_;
};

}  // namespace hydra

#endif  // HYDRA_TASK_OUTPUT_LOG_H_
