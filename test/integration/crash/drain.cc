#include "test/integration/crash/drain.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hydra::testing {

Drain::Drain(const std::string& path) : path_(path) {
  (void)mkfifo(path.c_str(), 0700);  // It may be there.
  // Here and not on the thread, which may come to it when all writers have
  // gone, and would wait for ever.
  fd_.Reset(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  thread_ = std::thread([this] { Run(); });
}

Drain::~Drain() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
  }
  // What waits has a writer that a broken test has left, or never had one: the
  // FIFO is fed until the thread has seen it.
  const UniqueFd writer(open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (writer.valid() && write(writer.get(), "\n", 1) < 0) {
    // Full: the thread has something to read.
  }
  thread_.join();
}

void Drain::Run() {
  char buffer[4096];
  while (true) {
    // Before the first writer there is no hang-up (pipe(7), poll(2)).
    pollfd readable = {fd_.get(), POLLIN, 0};
    (void)poll(&readable, 1, -1);  // Nothing to be done about an error.
    const ssize_t n = read(fd_.get(), buffer, sizeof(buffer));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (n > 0) data_.append(buffer, static_cast<size_t>(n));
    ended_ = n <= 0 || cancelled_;
    changed_.notify_all();
    if (ended_) return;
  }
}

bool Drain::ReadUntil(const std::string& text, Milliseconds limit) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto found = [&] { return data_.find(text) != std::string::npos; };
  changed_.wait_for(lock, limit, [&] { return ended_ || found(); });
  return found();
}

std::optional<std::string> Drain::ReadToEnd(Milliseconds limit) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!changed_.wait_for(lock, limit, [&] { return ended_; })) return {};
  return data_;
}

}  // namespace hydra::testing
