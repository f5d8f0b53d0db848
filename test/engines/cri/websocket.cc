#include "test/engines/cri/websocket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kScheme = "http://";
// Kubernetes' channels, and its name for them.
constexpr char kProtocol[] = "v4.channel.k8s.io";
enum Channel : unsigned char { kIn = 0, kOut, kErr, kStatus, kResize };

constexpr unsigned char kFinal = 0x80;
constexpr unsigned char kBinary = 2;
constexpr unsigned char kClose = 8;
constexpr unsigned char kMasked = 0x80;
// Lengths that say where the length is.
constexpr uint8_t kTwoBytes = 126;
constexpr uint8_t kEightBytes = 127;

}  // namespace

WebSocket::WebSocket(const std::string& url) {
  if (url.rfind(kScheme, 0) != 0) {
    refusal_ = "not a URL of http: " + url;
    return;
  }
  const size_t slash = url.find('/', kScheme.size());
  const std::string host = url.substr(kScheme.size(), slash - kScheme.size());
  const size_t colon = host.find(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port =
      htons(static_cast<uint16_t>(std::stoi(host.substr(colon + 1))));
  inet_pton(AF_INET, host.substr(0, colon).c_str(), &address.sin_addr);
  fd_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    refusal_ = "cannot connect to " + host;
    fd_.Reset();
    return;
  }
  ShakeHands(host, url.substr(slash));
}

void WebSocket::ShakeHands(const std::string& host, const std::string& path) {
  // The key is any 16 bytes; the server's proof that it has seen it is not
  // needed here.
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + host +
                              "\r\nUpgrade: websocket\r\nConnection: Upgrade"
                              "\r\nOrigin: http://" +
                              host +
                              "\r\nSec-WebSocket-Version: 13"
                              "\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
                              "\r\nSec-WebSocket-Protocol: " +
                              kProtocol + "\r\n\r\n";
  if (send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    fd_.Reset();
    return;
  }
  const auto deadline = Clock::now() + kPatience;
  size_t end = std::string::npos;
  while (open() && Clock::now() < deadline &&
         (end = received_.find("\r\n\r\n")) == std::string::npos) {
    (void)ReadSome(Milliseconds(100));  // The loop has the limit.
  }
  if (end == std::string::npos || received_.find(" 101 ") > end) {
    refusal_ = received_;
    fd_.Reset();
    return;
  }
  received_.erase(0, end + 4);
  TakeFrames();
}

void WebSocket::Send(unsigned char channel, std::string_view data) {
  const uint64_t length = data.size() + 1;
  std::string frame(1, static_cast<char>(kFinal | kBinary));
  frame += static_cast<char>(kMasked | kEightBytes);
  for (int shift = 56; shift >= 0; shift -= 8) {
    frame += static_cast<char>(length >> shift & 0xff);
  }
  frame += std::string(4, '\0');  // A mask that changes nothing.
  frame += static_cast<char>(channel);
  frame += data;
  std::string_view rest = frame;
  while (open() && !rest.empty()) {
    const ssize_t n = send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0) fd_.Reset();
    if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
  }
}

void WebSocket::Write(std::string_view data) { Send(kIn, data); }

void WebSocket::Resize(unsigned columns, unsigned rows) {
  Send(kResize, "{\"Width\":" + std::to_string(columns) +
                    ",\"Height\":" + std::to_string(rows) + "}");
}

bool WebSocket::ReadSome(Milliseconds limit) {
  pollfd polled = {fd_.get(), POLLIN, 0};
  if (poll(&polled, 1, static_cast<int>(limit.count())) <= 0) return false;
  char buffer[65536];
  const ssize_t n = read(fd_.get(), buffer, sizeof(buffer));
  if (n <= 0) {
    fd_.Reset();
  } else {
    received_.append(buffer, static_cast<size_t>(n));
  }
  return true;
}

void WebSocket::TakeFrames() {
  while (received_.size() >= 2) {
    const auto byte = [&](size_t at) {
      return static_cast<uint8_t>(received_[at]);
    };
    uint64_t length = byte(1);
    size_t extra = 0;
    if (length == kTwoBytes) extra = 2;
    if (length == kEightBytes) extra = 8;
    if (received_.size() < 2 + extra) return;
    if (extra > 0) length = 0;
    for (size_t i = 0; i < extra; ++i) length = length << 8 | byte(2 + i);
    if (received_.size() - 2 - extra < length) return;
    if ((byte(0) & 0x0f) == kClose) {
      fd_.Reset();
      return;
    }
    TakeMessage(std::string_view(received_).substr(2 + extra, length));
    received_.erase(0, 2 + extra + length);
  }
}

void WebSocket::TakeMessage(std::string_view message) {
  if (message.empty()) return;
  const auto channel = static_cast<unsigned char>(message[0]);
  message.remove_prefix(1);
  if (channel == kOut) out_ += message;
  if (channel == kErr) err_ += message;
  if (channel == kStatus) status_ += message;
}

bool WebSocket::ReadUntil(std::string_view text, Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (out_.find(text) == std::string::npos) {
    if (!open() || Clock::now() >= deadline) return false;
    if (ReadSome(Milliseconds(100))) TakeFrames();
  }
  return true;
}

bool WebSocket::ReadToEnd(Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (open() && Clock::now() < deadline) {
    if (ReadSome(Milliseconds(100))) TakeFrames();
  }
  return !open();
}

}  // namespace hydra::testing
