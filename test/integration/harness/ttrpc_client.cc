#include "test/integration/harness/ttrpc_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ttrpc/ttrpc.pb.h"

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kHeaderSize = 10;
constexpr uint8_t kRequest = 1;
constexpr uint8_t kResponse = 2;

void AppendBigEndian(uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(value >> shift & 0xff));
  }
}

uint32_t BigEndianAt(const std::string& bytes, size_t offset) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  }
  return value;
}

RawReply Decode(const std::string& data) {
  RawReply reply;
  ttrpc::Response response;
  if (!response.ParseFromString(data)) {
    reply.message = "undecodable response";
    return reply;
  }
  reply.code = static_cast<Code>(response.status().code());
  reply.message = response.status().message();
  reply.payload = response.payload();
  return reply;
}

}  // namespace

TtrpcClient::TtrpcClient(const std::string& socket_path, const std::string& ns)
    : ns_(ns) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) return;
  strncpy(address.sun_path, socket_path.c_str(), sizeof(address.sun_path) - 1);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) == 0) {
    fd_ = std::move(fd);
  }
}

RawReply TtrpcClient::Call(const std::string& service,
                           const std::string& method,
                           const std::string& payload, Milliseconds limit) {
  return Await(Send(service, method, payload), limit);
}

uint32_t TtrpcClient::TakeStreamId() {
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  return stream;
}

uint32_t TtrpcClient::Send(const std::string& service,
                           const std::string& method,
                           const std::string& payload) {
  const uint32_t stream = TakeStreamId();
  SendFrame(stream, kRequest, EncodeRequest(service, method, payload));
  return stream;
}

std::string TtrpcClient::EncodeRequest(const std::string& service,
                                       const std::string& method,
                                       const std::string& payload) const {
  ttrpc::Request request;
  request.set_service(service);
  request.set_method(method);
  request.set_payload(payload);
  if (!ns_.empty()) {
    auto* pair = request.add_metadata();
    pair->set_key("containerd-namespace-ttrpc");
    pair->set_value(ns_);
  }
  return request.SerializeAsString();
}

bool TtrpcClient::SendFrame(uint32_t length, uint32_t stream, uint8_t type,
                            uint8_t flags, std::string_view data) {
  std::string frame;
  frame.reserve(kHeaderSize + data.size());
  AppendBigEndian(length, &frame);
  AppendBigEndian(stream, &frame);
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  frame.append(data);
  return SendBytes(frame);
}

bool TtrpcClient::SendBytes(std::string_view bytes) {
  while (fd_.valid() && !bytes.empty()) {
    const ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) {
      // What the peer said before it hung up can still be read.
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return fd_.valid();
}

RawReply TtrpcClient::Await(uint32_t stream, Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (true) {
    auto found = answers_.find(stream);
    if (found != answers_.end()) {
      RawReply reply = std::move(found->second);
      answers_.erase(found);
      return reply;
    }
    const auto left =
        std::chrono::duration_cast<Milliseconds>(deadline - Clock::now());
    if (left.count() <= 0 || !ReadSome(left)) {
      RawReply none;
      none.message = fd_.valid() ? "no answer in time" : "connection closed";
      return none;
    }
  }
}

bool TtrpcClient::ReadSome(Milliseconds limit) {
  if (!fd_.valid()) return false;
  pollfd polled = {fd_.get(), POLLIN, 0};
  if (poll(&polled, 1, static_cast<int>(limit.count())) <= 0) return false;
  std::array<char, 65536> buffer;
  const ssize_t n = read(fd_.get(), buffer.data(), buffer.size());
  if (n <= 0) {
    fd_.Reset();
    return false;
  }
  received_.append(buffer.data(), static_cast<size_t>(n));
  TakeFrames();
  return true;
}

void TtrpcClient::TakeFrames() {
  while (received_.size() >= kHeaderSize) {
    const uint32_t length = BigEndianAt(received_, 0);
    if (received_.size() < kHeaderSize + length) return;
    if (static_cast<uint8_t>(received_[8]) == kResponse) {
      answers_[BigEndianAt(received_, 4)] =
          Decode(received_.substr(kHeaderSize, length));
    }
    received_.erase(0, kHeaderSize + length);
  }
}

}  // namespace hydra::testing
