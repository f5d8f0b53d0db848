#include "test/integration/crash/feed.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "shim/base/unique_fd.h"

namespace hydra::testing {

Feed::Feed(const std::string& path) : path_(path) {
  (void)mkfifo(path.c_str(), 0700);  // It may be there.
  thread_ = std::thread([this] { Run(); });
}

Feed::~Feed() {
  if (thread_.joinable()) Close(Milliseconds(0));
}

void Feed::Run() {
  const UniqueFd fd(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  std::unique_lock<std::mutex> lock(mutex_);
  opened_ = true;
  changed_.notify_all();
  while (true) {
    changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::string text = std::exchange(queue_, {});
    lock.unlock();
    const ssize_t n = write(fd.get(), text.data(), text.size());
    lock.lock();
    failed_ |= n != static_cast<ssize_t>(text.size());
  }
}

void Feed::Write(const std::string& text) {
  const std::lock_guard<std::mutex> lock(mutex_);
  queue_ += text;
  changed_.notify_all();
}

bool Feed::Close(Milliseconds limit) {
  UniqueFd reader;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    closing_ = true;
    changed_.notify_all();
    if (!changed_.wait_for(lock, limit, [this] { return opened_; })) {
      failed_ = true;
      // A reader, at last: it ends the open that waits for one.
      reader.Reset(open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    }
  }
  thread_.join();
  return !failed_;
}

}  // namespace hydra::testing
