// An owned file descriptor.
//
// Usable from any thread; one object belongs to one thread at a time. Libc
// only, so that the monitor can use it.

#ifndef HYDRA_BASE_UNIQUE_FD_H_
#define HYDRA_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace hydra {

class UniqueFd final {
 public:
  UniqueFd() = default;
  // Takes ownership of `fd`; a negative value means "none".
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Gives the descriptor to the caller, who closes it.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }

  // Closes what is held, if anything, and holds `fd`. close(2) is not tried
  // again on EINTR: on Linux the descriptor is gone by then.
  void Reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace hydra

#endif  // HYDRA_BASE_UNIQUE_FD_H_
