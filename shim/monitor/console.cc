#include "shim/monitor/console.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

// Receives the one descriptor. Not valid with errno EAGAIN if nothing has
// come, with EPROTO if something else has.
UniqueFd ReceiveMaster(int connection) {
  char name[4096];
  iovec iov = {name, sizeof(name)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t n =
      recvmsg(connection, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) {
    if (errno == EINTR) errno = EAGAIN;
    return UniqueFd();
  }
  UniqueFd master;
  int count = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr;
       c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t received = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < received; ++i, ++count) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
      master.Reset(fd);
    }
  }
  if (count == 1 && isatty(master.get())) return master;
  errno = EPROTO;
  return UniqueFd();
}

}  // namespace

int ConsoleReceiver::Start(Poller* poller, EventTag tag, UniqueFd listener) {
  poller_ = poller;
  tag_ = tag;
  const int flags = fcntl(listener.get(), F_GETFL);
  if (flags < 0 || fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    return errno;
  }
  const int error = poller->Add(listener.get(), EPOLLIN, tag);
  if (error == 0) listener_ = std::move(listener);
  return error;
}

void ConsoleReceiver::CloseConnection() {
  if (connection_.valid()) poller_->Remove(connection_.get());
  connection_.Reset();
}

void ConsoleReceiver::Stop() {
  CloseConnection();
  if (listener_.valid()) poller_->Remove(listener_.get());
  listener_.Reset();
}

void ConsoleReceiver::Save(StateWriter* state) const {
  state->Fd(listener_);
  state->Fd(connection_);
}

void ConsoleReceiver::Load(StateReader* state) {
  listener_ = state->Fd();
  connection_ = state->Fd();
}

int ConsoleReceiver::Resume(Poller* poller, EventTag tag) {
  poller_ = poller;
  tag_ = tag;
  int error = 0;
  if (listener_.valid()) error = poller->Add(listener_.get(), EPOLLIN, tag);
  if (connection_.valid() && error == 0) {
    error = poller->Add(connection_.get(), EPOLLIN, tag);
  }
  return error;
}

UniqueFd ConsoleReceiver::Receive() {
  if (!listener_.valid()) return UniqueFd();
  if (!connection_.valid()) {
    connection_.Reset(accept4(listener_.get(), nullptr, nullptr,
                              SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection_.valid()) return UniqueFd();
    const int error = poller_->Add(connection_.get(), EPOLLIN, tag_);
    if (error != 0) {
      LogError("watch console connection: %s", ErrorName(error));
      connection_.Reset();
      return UniqueFd();
    }
  }
  UniqueFd master = ReceiveMaster(connection_.get());
  if (!master.valid()) {
    if (errno == EAGAIN) return UniqueFd();
    LogWarning("console socket, closing a connection: %s", ErrorName(errno));
    CloseConnection();
    return UniqueFd();
  }
  const int flags = fcntl(master.get(), F_GETFL);
  fcntl(master.get(), F_SETFL, flags | O_NONBLOCK);
  Stop();
  return master;
}

int ResizeConsole(int master, uint16_t rows, uint16_t columns) {
  winsize size = {};
  size.ws_row = rows;
  size.ws_col = columns;
  return ioctl(master, TIOCSWINSZ, &size) == 0 ? 0 : errno;
}

}  // namespace hydra::monitor
