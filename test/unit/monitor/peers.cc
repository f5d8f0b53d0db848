#include "test/unit/monitor/peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <utility>

#include "test/unit/base/eventually.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Type;

}  // namespace

bool Ready(int fd, short events, int timeout_ms) {
  pollfd p = {fd, events, 0};
  int n;
  do {
    n = poll(&p, 1, timeout_ms);
  } while (n < 0 && errno == EINTR);
  return n == 1;
}

bool Eventually(const std::function<bool()>& condition, int timeout_ms) {
  return test::Eventually(condition, std::chrono::milliseconds(timeout_ms));
}

std::string ReadBytes(int fd, size_t size) {
  std::string data(size, '\0');
  size_t done = 0;
  while (done < size) {
    if (!Ready(fd, POLLIN, kPatience)) FAIL("no data after " << done);
    const ssize_t n = read(fd, data.data() + done, size - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  data.resize(done);
  return data;
}

void WriteBytes(int fd, std::string_view data) {
  while (!data.empty()) {
    REQUIRE(Ready(fd, POLLOUT, kPatience));
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EAGAIN) continue;
    REQUIRE(n > 0);
    data.remove_prefix(static_cast<size_t>(n));
  }
}

UniqueFd ConnectTo(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path.c_str());
  REQUIRE(connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                  sizeof(address)) == 0);
  return fd;
}

void SendFds(int connection, const std::vector<int>& fds) {
  char name[] = "/dev/ptmx";
  iovec iov = {name, sizeof(name) - 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)] = {};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  REQUIRE(sendmsg(connection, &message, MSG_NOSIGNAL) > 0);
}

Message FakeHead::Next() {
  Message message;
  if (is_ready && !replayed.empty()) {
    message = std::move(replayed.front());
    replayed.pop_front();
    return message;
  }
  while (true) {
    switch (reader.Next(link.get(), &message)) {
      case link::Reader::Result::kMessage:
        return message;
      case link::Reader::Result::kAgain:
        if (!Ready(link.get(), POLLIN, kPatience)) FAIL("no message");
        break;
      default:
        FAIL("the link is closed");
    }
  }
}

Message FakeHead::Expect(Type type) {
  Message message = Next();
  REQUIRE(message.header.type == static_cast<uint16_t>(type));
  return message;
}

bool FakeHead::IsQuiet(int ms) {
  Message message;
  if (!replayed.empty()) return false;
  if (reader.Next(link.get(), &message) == link::Reader::Result::kMessage) {
    return false;
  }
  return !Ready(link.get(), POLLIN, ms);
}

bool FakeHead::SeesEnd() {
  return Eventually([this] {
    Message message;
    return reader.Next(link.get(), &message) == link::Reader::Result::kClosed;
  });
}

void FakeHead::Flush() {
  while (!writer.empty()) {
    REQUIRE(writer.Flush(link.get()));
    if (!writer.empty()) REQUIRE(Ready(link.get(), POLLOUT, kPatience));
  }
}

void FakeHead::Send(Type type, uint64_t token, uint32_t step) {
  writer.Add(type, token, step);
  Flush();
}

std::vector<Message> FakeHead::Hello() {
  Send(Type::kHello, 0, 0, link::Hello{link::kLinkVersion, pid});
  std::vector<Message> known;
  known.push_back(Expect(Type::kWelcome));
  while (true) {
    Message message = Next();
    if (message.type() == Type::kSynced) {
      is_ready = true;
      return known;
    }
    if (message.type() == Type::kRequest) {
      replayed.push_back(std::move(message));
      continue;
    }
    known.push_back(std::move(message));
  }
}

void FakeHead::Respond(uint64_t token, std::string_view payload) {
  writer.Add(Type::kResponse, token, 0, payload);
  Flush();
}

void FakeHead::Spawn(uint64_t token, uint32_t step,
                     const std::vector<std::string>& argv, uint32_t flags,
                     const std::vector<Fd>& fds,
                     const std::vector<std::string>& env) {
  link::Spawn body = {};
  body.flags = flags;
  body.arg_count = static_cast<uint16_t>(argv.size());
  body.env_count = static_cast<uint16_t>(env.size());
  std::vector<int> raw;
  for (size_t i = 0; i < fds.size(); ++i) {
    raw.push_back(fds[i].fd);
    body.fd_target[i] = fds[i].target;
  }
  std::string tail;
  for (const std::string& s : argv) tail.append(s).push_back('\0');
  for (const std::string& s : env) tail.append(s).push_back('\0');
  Send(Type::kSpawn, token, step, body, tail, raw);
}

void FakeHead::Shell(uint64_t token, uint32_t step, const std::string& script,
                     uint32_t flags, const std::vector<Fd>& fds) {
  Spawn(token, step, {"sh", "-c", script}, flags | link::kSpawnInheritsEnv,
        fds);
}

void FakeHead::SignalSpawn(uint64_t token, uint32_t step, uint64_t target_token,
                           uint32_t target_step, int signal) {
  Send(Type::kSignal, token, step,
       link::Signal{0, target_token, target_step, signal});
}

void FakeHead::SignalProcess(uint64_t token, uint32_t step, uint64_t process,
                             int signal) {
  Send(Type::kSignal, token, step, link::Signal{process, 0, 0, signal});
}

void FakeHead::Claim(uint64_t process, pid_t process_pid) {
  Send(Type::kClaim, 0, 0, link::Claim{process, process_pid, 0});
}

void FakeHead::Publish(uint64_t token, uint32_t step,
                       const std::string& address, const std::string& request,
                       uint32_t timeout_ms) {
  link::Publish body = {};
  body.timeout_ms = timeout_ms;
  body.address_size = static_cast<uint32_t>(address.size());
  Send(Type::kPublish, token, step, body, address + request);
}

void FakeHead::StreamAdd(uint64_t stream, link::StreamKind kind, uint32_t flags,
                         const std::vector<int>& fds) {
  link::StreamAdd body = {};
  body.stream = stream;
  body.kind = static_cast<uint32_t>(kind);
  body.flags = flags;
  Send(Type::kStreamAdd, 0, 0, body, {}, fds);
}

void FakeHead::StreamRef(Type type, uint64_t stream) {
  Send(type, 0, 0, link::StreamRef{stream});
}

void FakeHead::Upgrade(uint64_t token, uint32_t step, const UpgradeWish& wish) {
  link::Upgrade body = {};
  body.flags = wish.flags;
  body.argument_count = static_cast<uint32_t>(wish.head_arguments.size());
  std::string tail;
  for (const std::string& s : {wish.monitor, wish.head, std::string("6.6.6")}) {
    tail.append(s).push_back('\0');
  }
  for (const std::string& s : wish.head_arguments) {
    tail.append(s).push_back('\0');
  }
  Send(Type::kUpgrade, token, step, body, tail);
}

void FakeHead::Kill() {
  REQUIRE(kill(pid, SIGKILL) == 0);
  link.Reset();
}

void FakeHead::Exit(int status) {
  const char command[2] = {'x', static_cast<char>(status)};
  WriteBytes(control.get(), std::string_view(command, 2));
}

std::string MakeFrame(uint32_t stream_id, std::string_view payload,
                      uint8_t type, uint8_t flags) {
  const uint32_t numbers[2] = {htonl(static_cast<uint32_t>(payload.size())),
                               htonl(stream_id)};
  std::string frame(reinterpret_cast<const char*>(numbers), sizeof(numbers));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  return frame.append(payload);
}

Client::Client(const std::string& path)
    : fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path.c_str());
  REQUIRE(connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                  sizeof(address)) == 0);
}

void Client::SendRaw(std::string_view bytes) { WriteBytes(fd.get(), bytes); }

void Client::Send(uint32_t stream_id, std::string_view payload, uint8_t type,
                  uint8_t flags) {
  SendRaw(MakeFrame(stream_id, payload, type, flags));
}

Response Client::Receive() {
  const std::string header = ReadBytes(fd.get(), 10);
  REQUIRE(header.size() == 10);
  uint32_t numbers[2];
  memcpy(numbers, header.data(), sizeof(numbers));
  Response response;
  response.stream_id = ntohl(numbers[1]);
  response.type = static_cast<uint8_t>(header[8]);
  CHECK(header[9] == 0);
  response.payload = ReadBytes(fd.get(), ntohl(numbers[0]));
  CHECK(response.payload.size() == ntohl(numbers[0]));
  return response;
}

}  // namespace hydra::monitor
