#include "test/unit/ttrpc/scripted_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <utility>

#include "shim/ttrpc/frame.h"

namespace hydra {

ScriptedServer::ScriptedServer(EventLoop* loop, std::string path,
                               std::function<void(const Call&)> on_call)
    : loop_(loop),
      path_(std::move(path)),
      on_call_(std::move(on_call)),
      listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  REQUIRE(path_.size() < sizeof(name.sun_path));
  memcpy(name.sun_path, path_.data(), path_.size());
  REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&name),
               sizeof(name)) == 0);
  REQUIRE(listen(listener_.get(), 4) == 0);
  auto watch = loop_->Watch(listener_.get(), EPOLLIN,
                            [this](uint32_t) { OnConnection(); });
  REQUIRE(watch.ok());
  listening_ = *std::move(watch);
}

ScriptedServer::~ScriptedServer() { unlink(path_.c_str()); }

void ScriptedServer::OnConnection() {
  CloseConnection();
  connection_.Reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(connection_.valid());
  ++connections_;
  auto watch =
      loop_->Watch(connection_.get(), EPOLLIN, [this](uint32_t) { OnInput(); });
  REQUIRE(watch.ok());
  reading_ = *std::move(watch);
}

void ScriptedServer::OnInput() {
  char buffer[4096];
  const ssize_t n = recv(connection_.get(), buffer, sizeof(buffer), 0);
  if (n <= 0) {
    CloseConnection();
    return;
  }
  input_.append(buffer, static_cast<size_t>(n));
  while (input_.size() >= ttrpc::kFrameHeaderSize) {
    const auto header = ttrpc::DecodeFrameHeader(input_.data());
    const size_t size = ttrpc::kFrameHeaderSize + header.length;
    if (input_.size() < size) return;
    if (header.type == ttrpc::kCancel) {
      cancelled_.push_back(header.stream_id);
      input_.erase(0, size);
      continue;
    }
    Call call;
    call.stream_id = header.stream_id;
    CHECK(header.type == ttrpc::kRequest);
    REQUIRE(call.request.ParseFromString(
        input_.substr(ttrpc::kFrameHeaderSize, header.length)));
    input_.erase(0, size);
    on_call_(call);
  }
}

void ScriptedServer::SendRaw(std::string_view bytes) {
  REQUIRE(send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
}

void ScriptedServer::Answer(uint32_t stream_id, std::string_view payload) {
  ::ttrpc::Response response;
  response.set_payload(std::string(payload));
  SendRaw(ttrpc::EncodeFrame(stream_id, ttrpc::kResponse,
                             response.SerializeAsString()));
}

void ScriptedServer::AnswerError(uint32_t stream_id, absl::StatusCode code,
                                 std::string_view message) {
  ::ttrpc::Response response;
  response.mutable_status()->set_code(static_cast<int>(code));
  response.mutable_status()->set_message(std::string(message));
  SendRaw(ttrpc::EncodeFrame(stream_id, ttrpc::kResponse,
                             response.SerializeAsString()));
}

void ScriptedServer::CloseConnection() {
  reading_ = {};
  connection_.Reset();
  input_.clear();
}

}  // namespace hydra
