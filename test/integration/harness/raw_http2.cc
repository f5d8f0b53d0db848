#include "test/integration/harness/raw_http2.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

namespace hydra::testing {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum : uint8_t { kData = 0, kHeaders = 1, kSettings = 4 };
enum : uint8_t { kEndStream = 1, kEndHeaders = 4 };
constexpr size_t kMostInFrame = 16384;

// RFC 7541, 6.2.2: a literal that is not indexed, with a new name.
void AddHeader(std::string_view name, std::string_view value,
               std::string* block) {
  block->push_back('\0');
  for (const std::string_view text : {name, value}) {
    block->push_back(static_cast<char>(text.size()));  // Below 127.
    block->append(text);
  }
}

}  // namespace

RawHttp2::RawHttp2(const std::string& socket_path)
    : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  socket_path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  if (connect(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) !=
      0) {
    return;  // Nothing that is sent will be answered.
  }
  SendBytes(kPreface);
  SendFrame(kSettings, 0, 0, {});
}

void RawHttp2::SendBytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;  // The peer has closed, as it may.
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void RawHttp2::SendFrame(uint8_t type, uint8_t flags, uint32_t stream,
                         std::string_view payload) {
  std::string frame;
  for (const int shift : {16, 8, 0}) {
    frame.push_back(static_cast<char>(payload.size() >> shift));
  }
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) {
    frame.push_back(static_cast<char>(stream >> shift));
  }
  SendBytes(frame.append(payload));
}

void RawHttp2::SendHeaders(const std::string& service,
                           const std::string& method) {
  std::string block;
  AddHeader(":method", "POST", &block);
  AddHeader(":scheme", "http", &block);
  AddHeader(":path", "/" + service + "/" + method, &block);
  AddHeader(":authority", "localhost", &block);
  AddHeader("content-type", "application/grpc", &block);
  AddHeader("te", "trailers", &block);
  SendFrame(kHeaders, kEndHeaders, 1, block);
}

void RawHttp2::SendData(std::string_view data, bool ends) {
  do {
    const std::string_view piece = data.substr(0, kMostInFrame);
    data.remove_prefix(piece.size());
    const bool is_last = ends && data.empty();
    SendFrame(kData, is_last ? uint8_t{kEndStream} : uint8_t{0}, 1, piece);
  } while (!data.empty());
}

std::string RawHttp2::Message(std::string_view payload) {
  std::string message(1, '\0');  // Not compressed.
  for (const int shift : {24, 16, 8, 0}) {
    message.push_back(static_cast<char>(payload.size() >> shift));
  }
  return message.append(payload);
}

bool RawHttp2::ReadSome(Milliseconds limit) {
  pollfd polled = {fd_.get(), POLLIN, 0};
  if (poll(&polled, 1, static_cast<int>(limit.count())) <= 0) return false;
  std::array<char, 65536> buffer;
  const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
  at_end_ = n <= 0;
  if (n > 0) input_.append(buffer.data(), static_cast<size_t>(n));
  return n > 0;
}

bool RawHttp2::ReadUntil(std::string_view text, Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (input_.find(text) == std::string::npos) {
    if (Clock::now() >= deadline || at_end_) return false;
    (void)ReadSome(Milliseconds(100));
  }
  return true;
}

bool RawHttp2::ReadToEnd(Milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (!at_end_ && Clock::now() < deadline) {
    (void)ReadSome(Milliseconds(100));
  }
  return at_end_;
}

}  // namespace hydra::testing
