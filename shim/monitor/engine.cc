#include "shim/monitor/engine.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <utility>

#include "shim/ttrpc/frame.h"

namespace hydra::monitor {
namespace {

constexpr int kReadsPerTurn = 16;
// Answers are a few bytes; the stack is memory of every container's monitor.
constexpr size_t kReadSize = 512;
// ttrpc's servers want rising ids, and have 31 bits for them.
constexpr uint32_t kLastStreamId = INT32_MAX;

}  // namespace

int Engine::Connect(std::string_view address) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  if (address.empty() || address.size() >= sizeof(name.sun_path)) {
    return ENAMETOOLONG;
  }
  memcpy(name.sun_path, address.data(), address.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno;
  // EAGAIN is a full backlog: there is no waiting for it here.
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) < 0) {
    return errno;
  }
  interest_ = EPOLLIN | EPOLLRDHUP;
  const int error =
      poller_->Add(fd.get(), interest_, {EventKind::kEngine, ++id_});
  if (error != 0) return error;
  fd_ = std::move(fd);
  address_ = address;
  return 0;
}

void Engine::Close() {
  if (fd_.valid()) poller_->Remove(fd_.get());
  fd_.Reset();
  frames_ = FrameReader();
  std::string().swap(output_);
  next_stream_id_ = 1;
  stream_id_ = 0;
}

// Asked before each call: the engine may have gone and come back since the last
// turn of the loop, and a call that is written to a dead connection would leave
// it open whether it was heard.
bool Engine::PeerIsThere() const {
  pollfd state = {fd_.get(), POLLRDHUP, 0};
  return poll(&state, 1, 0) == 0;
}

int Engine::Call(std::string_view address, std::string_view request) {
  if (request.size() > ttrpc::kMaxFrameData) return EMSGSIZE;
  if (fd_.valid() && (address != address_ || next_stream_id_ > kLastStreamId ||
                      !PeerIsThere())) {
    Close();
  }
  if (!fd_.valid()) {
    const int error = Connect(address);
    if (error != 0) return error;
  }
  stream_id_ = next_stream_id_;
  next_stream_id_ += 2;
  ttrpc::AppendFrame(stream_id_, ttrpc::kRequest, request, &output_);
  const int error = Flush();
  // A part of a frame is no request to anybody.
  if (error != 0) Close();
  return error;
}

int Engine::Flush() {
  size_t sent = 0;
  while (sent < output_.size()) {
    const ssize_t n = send(fd_.get(), output_.data() + sent,
                           output_.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return errno;
    if (n < 0) break;
    sent += static_cast<size_t>(n);
  }
  if (sent == output_.size()) {
    std::string().swap(output_);
  } else {
    output_.erase(0, sent);
  }
  UpdateInterest();
  return 0;
}

void Engine::UpdateInterest() {
  uint32_t wanted = EPOLLIN | EPOLLRDHUP;
  if (!sent()) wanted |= EPOLLOUT;
  if (wanted == interest_) return;
  interest_ = wanted;
  poller_->Modify(fd_.get(), wanted, {EventKind::kEngine, id_});
}

bool Engine::OnEvent(uint64_t id, Answer* answer) {
  if (!fd_.valid() || id != id_) return false;
  bool answered = false;
  // What came before the end of a connection still counts, also when there is
  // nobody left to write to.
  int error = Read(answer, &answered);
  if (error == 0) error = Flush();
  if (error == 0) return answered;
  if (!answered && calling()) {
    answer->error = error;
    // A unix socket that is closed with bytes in its queue resets its peer, so
    // this one was not read to its end; unix_release_sock() in the kernel.
    answer->ambiguous = sent() && error != ECONNRESET;
    answered = true;
  }
  Close();
  return answered;
}

int Engine::Read(Answer* answer, bool* answered) {
  char buffer[kReadSize];
  for (int i = 0; i < kReadsPerTurn; ++i) {
    const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN ? 0 : errno;
    if (n == 0) return ECONNABORTED;
    std::string_view data(buffer, static_cast<size_t>(n));
    Frame frame;
    while (frames_.Next(&data, &frame)) {
      const int error = TakeFrame(std::move(frame), answer, answered);
      if (error != 0) return error;
    }
    if (frames_.discarding()) return EPROTO;
  }
  return 0;
}

int Engine::TakeFrame(Frame frame, Answer* answer, bool* answered) {
  if (frame.too_long || frame.type != ttrpc::kResponse ||
      frame.stream_id % 2 == 0 || frame.stream_id >= next_stream_id_) {
    return EPROTO;
  }
  // To a call that was abandoned.
  if (frame.stream_id != stream_id_) return 0;
  stream_id_ = 0;
  *answered = true;
  if (frame.payload.size() > kMaxAnswer) {
    answer->error = EMSGSIZE;
    answer->ambiguous = true;
  } else {
    answer->payload = std::move(frame.payload);
  }
  return 0;
}

}  // namespace hydra::monitor
