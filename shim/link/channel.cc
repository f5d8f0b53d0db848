#include "shim/link/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <utility>

namespace hydra::link {
namespace {

constexpr size_t kReadSize = 64 << 10;
// A buffer that has grown past this is given back once it is empty.
constexpr size_t kKeptSize = 8 << 10;

}  // namespace

bool Reader::TakeBuffered(Message* message, bool* bad) {
  const size_t available = buffer_.size() - consumed_;
  if (available < sizeof(Header)) return false;
  Header header;
  memcpy(&header, buffer_.data() + consumed_, sizeof(header));
  if (header.length > kMaxMessage || header.body_size > header.length ||
      header.fd_count > kMaxFds) {
    errno = EPROTO;
    *bad = true;
    return false;
  }
  if (available < sizeof(Header) + header.length) return false;
  // Descriptors come with the first byte, so they are here by now.
  if (fds_.size() < header.fd_count) {
    errno = EMFILE;
    *bad = true;
    return false;
  }
  message->header = header;
  message->payload.assign(buffer_, consumed_ + sizeof(Header), header.length);
  message->fds.clear();
  for (int i = 0; i < header.fd_count; ++i) {
    message->fds.push_back(std::move(fds_.front()));
    fds_.pop_front();
  }
  consumed_ += sizeof(Header) + header.length;
  if (consumed_ == buffer_.size()) {
    consumed_ = 0;
    // One large frame must not stay allocated for the life of the process.
    if (buffer_.capacity() > kKeptSize) {
      std::string().swap(buffer_);
    } else {
      buffer_.clear();
    }
  }
  return true;
}

Reader::Result Reader::Next(int fd, Message* message) {
  while (true) {
    bool bad = false;
    if (TakeBuffered(message, &bad)) return Result::kMessage;
    if (bad) return Result::kError;
    Result why;
    if (!Fill(fd, &why)) return why;
  }
}

bool Reader::Fill(int fd, Result* why) {
  if (consumed_ > 0) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  const size_t old_size = buffer_.size();
  size_t want = 4096;
  if (old_size >= sizeof(Header)) {
    Header header;
    memcpy(&header, buffer_.data(), sizeof(header));
    want = sizeof(Header) + header.length - old_size;
    if (want > kReadSize) want = kReadSize;
  }
  buffer_.resize(old_size + want);
  iovec iov = {buffer_.data() + old_size, want};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  msghdr msg = {};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  msg.msg_control = control;
  msg.msg_controllen = sizeof(control);
  ssize_t n;
  do {
    n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  buffer_.resize(old_size + (n > 0 ? static_cast<size_t>(n) : 0));
  if (n < 0) {
    *why = errno == EAGAIN       ? Result::kAgain
           : errno == ECONNRESET ? Result::kClosed
                                 : Result::kError;
    return false;
  }
  for (cmsghdr* c = CMSG_FIRSTHDR(&msg); c != nullptr;
       c = CMSG_NXTHDR(&msg, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int received;
      memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      fds_.emplace_back(received);
    }
  }
  *why = Result::kClosed;
  return n > 0;
}

void Writer::AddRaw(Type type, uint64_t token, uint32_t step,
                    std::string_view body, std::string_view tail,
                    const std::vector<int>& fds) {
  ++messages_;
  Header header = {};
  header.length = static_cast<uint32_t>(body.size() + tail.size());
  header.type = static_cast<uint16_t>(type);
  header.body_size = static_cast<uint16_t>(body.size());
  header.token = token;
  header.step = step;
  header.fd_count = static_cast<uint16_t>(fds.size());
  Chunk chunk;
  chunk.bytes.reserve(sizeof(header) + header.length);
  chunk.bytes.append(reinterpret_cast<const char*>(&header), sizeof(header));
  chunk.bytes.append(body);
  chunk.bytes.append(tail);
  for (int fd : fds) {
    UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (copy.valid()) chunk.fds.push_back(std::move(copy));
  }
  bytes_ += chunk.bytes.size();
  queue_.push_back(std::move(chunk));
}

bool Writer::Flush(int fd) {
  while (!queue_.empty()) {
    Chunk& chunk = queue_.front();
    iovec iov = {chunk.bytes.data() + chunk.sent,
                 chunk.bytes.size() - chunk.sent};
    msghdr msg = {};
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    // Zero, because the padding is sent as well.
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
    if (!chunk.fds.empty()) {
      const size_t size = chunk.fds.size() * sizeof(int);
      msg.msg_control = control;
      msg.msg_controllen = CMSG_SPACE(size);
      cmsghdr* c = CMSG_FIRSTHDR(&msg);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(size);
      for (size_t i = 0; i < chunk.fds.size(); ++i) {
        const int sent = chunk.fds[i].get();
        memcpy(CMSG_DATA(c) + i * sizeof(int), &sent, sizeof(int));
      }
    }
    const ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN;
    }
    chunk.fds.clear();
    chunk.sent += static_cast<size_t>(n);
    bytes_ -= static_cast<size_t>(n);
    if (chunk.sent == chunk.bytes.size()) queue_.pop_front();
  }
  return true;
}

bool Writer::FlushAll(int fd) {
  while (true) {
    if (!Flush(fd)) return false;
    if (queue_.empty()) return true;
    pollfd p = {fd, POLLOUT, 0};
    if (poll(&p, 1, -1) < 0 && errno != EINTR) return false;
  }
}

void Writer::Clear() {
  messages_ = 0;
  queue_.clear();
  bytes_ = 0;
}

}  // namespace hydra::link
