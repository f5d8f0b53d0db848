#include "shim/monitor/poller.h"

#include <errno.h>

namespace hydra::monitor {

int Poller::Open() {
  fd_.Reset(epoll_create1(EPOLL_CLOEXEC));
  return fd_.valid() ? 0 : errno;
}

int Poller::Add(int fd, uint32_t events, EventTag tag) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = tag.Pack();
  return epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

int Poller::Modify(int fd, uint32_t events, EventTag tag) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = tag.Pack();
  return epoll_ctl(fd_.get(), EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : errno;
}

void Poller::Remove(int fd) {
  epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

int Poller::Wait(epoll_event* events, int capacity, int timeout_ms) {
  const int n = epoll_wait(fd_.get(), events, capacity, timeout_ms);
  return n < 0 ? 0 : n;
}

}  // namespace hydra::monitor
