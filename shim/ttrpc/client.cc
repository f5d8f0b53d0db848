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
constexpr size_t kReadSize = 64 << 10;

absl::Status Unavailable(std::string text) {
  return MakeError(absl::StatusCode::kUnavailable, std::move(text));
}

}  // namespace

Client::Client(EventLoop* loop, std::string address, std::string ns)
    : loop_(loop),
      address_(address.starts_with("unix://") ? address.substr(7)
                                              : std::move(address)),
      namespace_(std::move(ns)) {}

Client::Client(EventLoop* loop, UniqueFd connection, std::string ns,
               std::function<void()> on_lost)
    : loop_(loop), namespace_(std::move(ns)), on_lost_(std::move(on_lost)) {
  // Without it the first call says so.
  (void)Adopt(std::move(connection));
}

absl::Status Client::Connect() {
  if (address_.empty()) return Unavailable("connection: closed");
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
  return Adopt(std::move(fd));
}

absl::Status Client::Adopt(UniqueFd connection) {
  HYDRA_ASSIGN_OR_RETURN(
      watch_, loop_->Watch(connection.get(), EPOLLIN | EPOLLOUT | EPOLLET,
                           [this](uint32_t events) { OnReady(events); }));
  fd_ = std::move(connection);
  ++connection_;
  next_stream_ = 1;
  input_.clear();
  return absl::OkStatus();
}

void Client::Disconnect(const absl::Status& reason) {
  watch_ = {};
  fd_.Reset();
  output_.clear();
  output_sent_ = 0;
  // A waiter may make another call, over another connection.
  for (const auto& [stream, reply] : std::exchange(calls_, {})) {
    reply.Set(reason);
  }
  if (on_lost_ != nullptr) on_lost_();
}

void Client::Send() {
  while (output_sent_ < output_.size()) {
    const ssize_t n =
        send(fd_.get(), output_.data() + output_sent_,
             output_.size() - output_sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return;
      Disconnect(Unavailable(Message(ErrnoError(errno, "send to", address_))));
      return;
    }
    output_sent_ += static_cast<size_t>(n);
  }
  output_.clear();
  output_sent_ = 0;
}

void Client::OnReady(uint32_t events) {
  const uint64_t connection = connection_;
  if (events & EPOLLOUT) {
    Send();
    if (!fd_.valid() || connection != connection_) return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  const bool open = Receive();
  // An answer may stand right before the end.
  TakeFrames();
  // A waiter may have made another call by now, over another connection.
  if (!open && connection == connection_ && fd_.valid()) {
    Disconnect(Unavailable("connection to " + address_ + ": closed"));
  }
}

bool Client::Receive() {
  static char buffer[kReadSize];
  while (true) {
    const ssize_t n = recv(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return false;
    input_.append(buffer, static_cast<size_t>(n));
  }
}

void Client::TakeFrames() {
  const uint64_t connection = connection_;
  size_t taken = 0;
  while (input_.size() - taken >= kFrameHeaderSize) {
    const FrameHeader header = DecodeFrameHeader(input_.data() + taken);
    if (header.length > kMaxFrameData) {
      Disconnect(Unavailable("connection to " + address_ +
                             ": a frame that is too long"));
      return;
    }
    const size_t size = kFrameHeaderSize + header.length;
    if (input_.size() - taken < size) break;
    if (header.type == kResponse) {
      const std::string data =
          input_.substr(taken + kFrameHeaderSize, header.length);
      TakeResponse(header.stream_id, data);
      // The waiter may have disconnected, and connected again.
      if (!fd_.valid() || connection != connection_) return;
    }
    taken += size;
  }
  input_.erase(0, taken);
}

void Client::TakeResponse(uint32_t stream, const std::string& data) {
  auto found = calls_.extract(stream);
  // An answer that came too late belongs to no call.
  if (found.empty()) return;
  const Reply& reply = found.mapped();
  ::ttrpc::Response response;
  if (!response.ParseFromString(data)) {
    reply.Set(Internal("response of " + address_ + ": does not parse"));
  } else if (response.status().code() != 0) {
    reply.Set(MakeError(static_cast<absl::StatusCode>(response.status().code()),
                        response.status().message()));
  } else {
    reply.Set(std::move(*response.mutable_payload()));
  }
}

void Client::GiveUp(uint32_t stream, absl::Status reason) {
  auto found = calls_.extract(stream);
  if (found.empty()) return;
  output_.append(EncodeFrame(stream, kCancel, ""));
  Send();
  found.mapped().Set(std::move(reason));
}

Async<absl::StatusOr<std::string>> Client::Call(
    std::string service, std::string method, std::string payload,
    std::chrono::milliseconds timeout, Future<bool> cancelled) {
  if (!fd_.valid()) HYDRA_CO_RETURN_IF_ERROR(Connect());
  ::ttrpc::Request request;
  request.set_service(std::move(service));
  request.set_method(std::move(method));
  request.set_payload(std::move(payload));
  request.set_timeout_nano(std::chrono::nanoseconds(timeout).count());
  auto* metadata = request.add_metadata();
  metadata->set_key(kNamespaceKey);
  metadata->set_value(namespace_);
  const std::string bytes = request.SerializeAsString();
  if (bytes.size() > kMaxFrameData) {
    co_return MakeError(absl::StatusCode::kResourceExhausted,
                        "request of " + std::to_string(bytes.size()) +
                            " bytes: more than a frame takes");
  }
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  const Reply reply;
  calls_.emplace(stream, reply);
  AppendFrame(stream, kRequest, bytes, &output_);
  EventLoop::Registration timer;
  if (timeout.count() > 0) {
    timer = loop_->After(timeout, [this, stream] {
      GiveUp(stream, MakeError(absl::StatusCode::kDeadlineExceeded,
                               "call to " + address_ + ": no answer in time"));
    });
  }
  const auto cancel = cancelled.OnSet([this, stream](const bool&) {
    GiveUp(stream, MakeError(absl::StatusCode::kCancelled, "context canceled"));
  });
  Send();
  absl::StatusOr<std::string> result = co_await reply;
  co_return result;
}

}  // namespace hydra::ttrpc
