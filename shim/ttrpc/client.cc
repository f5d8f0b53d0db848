#include "shim/ttrpc/client.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <utility>

#include "shim/base/status.h"
#include "shim/ttrpc/frame.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra::ttrpc {
namespace {

constexpr char kNamespaceKey[] = "containerd-namespace-ttrpc";

absl::Status Unavailable(std::string text) {
  return MakeError(absl::StatusCode::kUnavailable, std::move(text));
}

}  // namespace

Client::Client(EventLoop* loop, std::string address, std::string ns)
    : loop_(loop),
      address_(address.starts_with("unix://") ? address.substr(7)
                                              : std::move(address)),
      namespace_(std::move(ns)) {}

absl::Status Client::Connect() {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  if (address_.size() >= sizeof(name.sun_path)) {
    return InvalidArgument("connect " + address_ + ": path is too long");
  }
  memcpy(name.sun_path, address_.data(), address_.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoError(errno, "socket");
  // On a unix socket this ends at once: EAGAIN is a full backlog.
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) < 0) {
    return Unavailable(Message(ErrnoError(errno, "connect", address_)));
  }
  HYDRA_ASSIGN_OR_RETURN(
      watch_, loop_->Watch(fd.get(), EPOLLIN | EPOLLOUT | EPOLLET,
                           [this](uint32_t events) { OnReady(events); }));
  fd_ = std::move(fd);
  ++connection_;
  next_stream_ = 1;
  input_.clear();
  return absl::OkStatus();
}

void Client::Disconnect(absl::Status reason) {
  watch_ = {};
  fd_.Reset();
  output_.clear();
  if (std::exchange(stream_, 0) != 0) reply_.Set(std::move(reason));
}

absl::Status Client::Send() {
  while (!output_.empty()) {
    const ssize_t n = send(fd_.get(), output_.data(), output_.size(),
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return absl::OkStatus();
      return Unavailable(Message(ErrnoError(errno, "send to", address_)));
    }
    output_.erase(0, static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

void Client::OnReady(uint32_t events) {
  if (events & EPOLLOUT) {
    if (absl::Status sent = Send(); !sent.ok()) {
      Disconnect(std::move(sent));
      return;
    }
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  const uint64_t connection = connection_;
  const bool open = Receive();
  // An answer may stand right before the end.
  TakeFrames();
  // A waiter may have made another call by now, over another connection.
  if (!open && connection == connection_) {
    Disconnect(Unavailable("connection to " + address_ + ": closed"));
  }
}

bool Client::Receive() {
  while (true) {
    char buffer[4096];
    const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    input_.append(buffer, static_cast<size_t>(n));
  }
}

void Client::TakeFrames() {
  while (input_.size() >= kFrameHeaderSize) {
    const FrameHeader header = DecodeFrameHeader(input_.data());
    if (header.length > kMaxFrameData) {
      Disconnect(Unavailable("connection to " + address_ +
                             ": a frame that is too long"));
      return;
    }
    if (input_.size() < kFrameHeaderSize + header.length) return;
    const std::string data = input_.substr(kFrameHeaderSize, header.length);
    input_.erase(0, kFrameHeaderSize + header.length);
    // An answer that came too late belongs to no call.
    if (header.type != kResponse || header.stream_id != stream_) continue;
    stream_ = 0;
    ::ttrpc::Response response;
    if (!response.ParseFromString(data)) {
      reply_.Set(Internal("response of " + address_ + ": does not parse"));
    } else if (response.status().code() != 0) {
      reply_.Set(
          MakeError(static_cast<absl::StatusCode>(response.status().code()),
                    response.status().message()));
    } else {
      reply_.Set(std::move(*response.mutable_payload()));
    }
    // The waiter may have made another call, or may have disconnected.
    if (!fd_.valid()) return;
  }
}

Async<absl::StatusOr<std::string>> Client::Call(
    std::string service, std::string method, std::string payload,
    std::chrono::milliseconds timeout) {
  if (!fd_.valid()) HYDRA_CO_RETURN_IF_ERROR(Connect());
  ::ttrpc::Request request;
  request.set_service(std::move(service));
  request.set_method(std::move(method));
  request.set_payload(std::move(payload));
  request.set_timeout_nano(std::chrono::nanoseconds(timeout).count());
  auto* metadata = request.add_metadata();
  metadata->set_key(kNamespaceKey);
  metadata->set_value(namespace_);
  stream_ = next_stream_;
  next_stream_ += 2;
  output_.append(EncodeFrame(stream_, kRequest, request.SerializeAsString()));
  reply_ = {};
  const auto timer = loop_->After(timeout, [this] {
    Disconnect(MakeError(absl::StatusCode::kDeadlineExceeded,
                         "call to " + address_ + ": no answer in time"));
  });
  const Future<absl::StatusOr<std::string>> reply = reply_;
  absl::Status sent = Send();
  if (!sent.ok()) Disconnect(std::move(sent));
  absl::StatusOr<std::string> result = co_await reply;
  co_return result;
}

}  // namespace hydra::ttrpc
