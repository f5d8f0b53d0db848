#include "shim/ttrpc/client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shim/base/status.h"
#include "shim/ttrpc/frame.h"
#include "test/unit/base/temp_directory.h"
#include "test/unit/event/run_loop.h"
#include "test/unit/ttrpc/scripted_server.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

class ClientTest {
 protected:
  ClientTest()
      : loop_(MakeLoop()),
        path_(directory_ / "engine.sock"),
        client_(loop_.get(), "unix://" + path_, "blue") {}

  void Serve() {
    server_ = std::make_unique<ScriptedServer>(
        loop_.get(), path_, [this](const ScriptedServer::Call& call) {
          calls_.push_back(call);
          if (on_call_) on_call_(call);
        });
  }
  absl::StatusOr<std::string> Call(
      std::string payload, milliseconds timeout = std::chrono::seconds(10)) {
    return Await(loop_.get(), client_.Call("a.Service", "Method",
                                           std::move(payload), timeout));
  }

  TempDirectory directory_;
  std::unique_ptr<EventLoop> loop_;
  const std::string path_;
  ttrpc::Client client_;
  std::unique_ptr<ScriptedServer> server_;
  std::vector<ScriptedServer::Call> calls_;
  std::function<void(const ScriptedServer::Call&)> on_call_;
};

TEST_CASE_METHOD(ClientTest, "Calls go over one connection, ids odd, rising") {
  Serve();
  on_call_ = [this](const auto& call) {
    server_->Answer(call.stream_id, "re: " + call.request.payload());
  };
  CHECK(*Call("one") == "re: one");
  CHECK(*Call("two", milliseconds(1500)) == "re: two");
  CHECK(*Call("") == "re: ");
  CHECK(server_->connections() == 1);
  REQUIRE(calls_.size() == 3);
  CHECK(calls_[0].stream_id == 1);
  CHECK(calls_[1].stream_id == 3);
  CHECK(calls_[2].stream_id == 5);
  const auto& request = calls_[1].request;
  CHECK(request.service() == "a.Service");
  CHECK(request.method() == "Method");
  CHECK(request.timeout_nano() == 1'500'000'000);
  REQUIRE(request.metadata_size() == 1);
  CHECK(request.metadata(0).key() == "containerd-namespace-ttrpc");
  CHECK(request.metadata(0).value() == "blue");
}

TEST_CASE_METHOD(ClientTest, "A reply may come in pieces, and be large") {
  Serve();
  const std::string large(100'000, 'x');
  on_call_ = [&](const auto& call) {
    ::ttrpc::Response response;
    response.set_payload(large);
    const std::string frame = ttrpc::EncodeFrame(
        call.stream_id, ttrpc::kResponse, response.SerializeAsString());
    server_->SendRaw(frame.substr(0, 4));
    loop_->Post([this, frame] { server_->SendRaw(frame.substr(4, 20'000)); });
    loop_->Post([this, frame] { server_->SendRaw(frame.substr(20'004)); });
  };
  const auto reply = Call("x");
  REQUIRE(reply.ok());
  CHECK(*reply == large);
}

TEST_CASE_METHOD(ClientTest, "A large request goes out whole") {
  Serve();
  on_call_ = [this](const auto& call) { server_->Answer(call.stream_id, ""); };
  const std::string large(2 << 20, 'y');
  CHECK(Call(large).ok());
  REQUIRE(calls_.size() == 1);
  CHECK(calls_[0].request.payload() == large);
}

TEST_CASE_METHOD(ClientTest, "A status is given as the peer sent it") {
  Serve();
  on_call_ = [this](const auto& call) {
    server_->AnswerError(call.stream_id, absl::StatusCode::kAlreadyExists,
                         "there is one");
  };
  const auto reply = Call("x");
  CHECK(absl::IsAlreadyExists(reply.status()));
  CHECK(Message(reply.status()) == "there is one");
}

TEST_CASE_METHOD(ClientTest, "Without a server a call is Unavailable") {
  const auto reply = Call("x");
  CHECK(absl::IsUnavailable(reply.status()));
  CHECK(Message(reply.status()) ==
        "connect " + path_ + ": No such file or directory");
}

TEST_CASE_METHOD(ClientTest, "A close in the middle is Unavailable") {
  Serve();
  on_call_ = [this](const auto& call) {
    const std::string frame =
        ttrpc::EncodeFrame(call.stream_id, ttrpc::kResponse, "abcdef");
    server_->SendRaw(frame.substr(0, 12));
    server_->CloseConnection();
  };
  CHECK(absl::IsUnavailable(Call("x").status()));
}

TEST_CASE_METHOD(ClientTest, "After a close the next call connects again") {
  Serve();
  on_call_ = [this](const auto&) { server_->CloseConnection(); };
  CHECK(absl::IsUnavailable(Call("x").status()));
  on_call_ = [this](const auto& call) { server_->Answer(call.stream_id, "y"); };
  CHECK(*Call("x") == "y");
  CHECK(server_->connections() == 2);
  REQUIRE(calls_.size() == 2);
  CHECK(calls_[1].stream_id == 1);
}

TEST_CASE_METHOD(ClientTest, "An answer with a close right behind it counts") {
  Serve();
  on_call_ = [this](const auto& call) {
    server_->Answer(call.stream_id, "y");
    server_->CloseConnection();
  };
  const auto reply = Call("x");
  REQUIRE(reply.ok());
  CHECK(*reply == "y");
}

TEST_CASE_METHOD(ClientTest, "A server that comes back is found again") {
  Serve();
  on_call_ = [this](const auto& call) { server_->Answer(call.stream_id, "y"); };
  CHECK(Call("x").ok());
  server_.reset();
  CHECK(absl::IsUnavailable(Call("x").status()));
  Serve();
  CHECK(Call("x").ok());
}

TEST_CASE_METHOD(ClientTest, "What is late is given up, and not taken for "
                             "another call's answer") {
  Serve();
  const auto start = EventLoop::Clock::now();
  const auto reply = Call("x", milliseconds(30));
  CHECK(EventLoop::Clock::now() - start >= milliseconds(30));
  CHECK(absl::IsDeadlineExceeded(reply.status()));
  on_call_ = [this](const auto& call) {
    server_->Answer(calls_[0].stream_id, "late");
    server_->Answer(call.stream_id, "y");
  };
  CHECK(*Call("x") == "y");
  CHECK(server_->connections() == 1);
  CHECK(server_->cancelled() == std::vector<uint32_t>{1});
}

TEST_CASE_METHOD(ClientTest, "Calls wait side by side, each for its own") {
  Serve();
  std::map<std::string, std::string> replies;
  on_call_ = [this](const auto&) {
    if (calls_.size() < 3) return;
    for (const size_t i : {2u, 0u, 1u}) {
      server_->Answer(calls_[i].stream_id,
                      "re: " + calls_[i].request.payload());
    }
  };
  const auto call = [&](std::string payload) -> Async<void> {
    const auto reply =
        co_await client_.Call("s", "m", payload, std::chrono::seconds(10));
    replies[payload] = *reply;
    if (replies.size() == 3) loop_->Quit();
  };
  for (const char* payload : {"a", "b", "c"}) Detach(call(payload));
  loop_->Run();
  CHECK(replies == std::map<std::string, std::string>{
                       {"a", "re: a"}, {"b", "re: b"}, {"c", "re: c"}});
  CHECK(server_->connections() == 1);
}

TEST_CASE_METHOD(ClientTest, "A call that is cancelled ends, alone") {
  Serve();
  const Future<bool> cancelled;
  on_call_ = [&](const auto& call) {
    if (calls_.size() == 1) return;
    cancelled.Set(true);
    server_->Answer(call.stream_id, "y");
  };
  absl::StatusOr<std::string> first = Internal("not ended");
  const auto wait = [&]() -> Async<void> {
    first = co_await client_.Call("s", "m", "x", milliseconds(0), cancelled);
  };
  Detach(wait());
  CHECK(*Call("z") == "y");
  CHECK(absl::IsCancelled(first.status()));
  CHECK(*Call("z") == "y");
  CHECK(server_->cancelled() == std::vector<uint32_t>{1});
}

TEST_CASE_METHOD(ClientTest, "A connection that was given is the only one") {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  int lost = 0;
  ttrpc::Client client(loop_.get(), UniqueFd(ends[0]), "blue", [&] { ++lost; });
  loop_->Post([peer = ends[1]] { close(peer); });
  const auto call = [&] {
    return Await(loop_.get(), client.Call("s", "m", "x", milliseconds(0)));
  };
  CHECK(absl::IsUnavailable(call().status()));
  CHECK(lost == 1);
  CHECK(absl::IsUnavailable(call().status()));
}

TEST_CASE_METHOD(ClientTest, "A request that no frame takes is not sent") {
  Serve();
  CHECK(absl::IsResourceExhausted(Call(std::string(5 << 20, 'x')).status()));
  CHECK(calls_.empty());
}

TEST_CASE_METHOD(ClientTest, "Frames of no call of ours are passed over") {
  Serve();
  on_call_ = [this](const auto& call) {
    server_->Answer(call.stream_id + 2, "of the future");
    server_->SendRaw(ttrpc::EncodeFrame(call.stream_id, ttrpc::kData, "data"));
    server_->Answer(call.stream_id, "ours");
    server_->Answer(call.stream_id, "twice");
  };
  CHECK(*Call("x") == "ours");
  CHECK(*Call("x") == "ours");
  CHECK(server_->connections() == 1);
}

TEST_CASE_METHOD(ClientTest, "A frame that is too long ends the connection") {
  Serve();
  on_call_ = [this](const auto&) {
    std::string header = ttrpc::EncodeFrame(1, ttrpc::kResponse, "");
    header[0] = 1;  // 16 MiB
    server_->SendRaw(header);
  };
  const auto reply = Call("x");
  CHECK(absl::IsUnavailable(reply.status()));
  CHECK(Message(reply.status()) ==
        "connection to " + path_ + ": a frame that is too long");
}

TEST_CASE_METHOD(ClientTest, "An answer that does not parse is Internal") {
  Serve();
  on_call_ = [this](const auto& call) {
    server_->SendRaw(
        ttrpc::EncodeFrame(call.stream_id, ttrpc::kResponse, "\xff\xff\xff"));
  };
  CHECK(absl::IsInternal(Call("x").status()));
}

TEST_CASE("An address that does not fit into a socket name is an error") {
  const auto loop = MakeLoop();
  ttrpc::Client client(loop.get(), "/" + std::string(200, 'a'), "blue");
  const auto reply =
      Await(loop.get(), client.Call("a", "b", "c", std::chrono::seconds(1)));
  CHECK(absl::IsInvalidArgument(reply.status()));
}

}  // namespace
}  // namespace hydra
