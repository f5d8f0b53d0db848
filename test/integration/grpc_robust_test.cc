// Clients that keep to no rules: hydra-grpc and the instance outlive them, and
// nothing of them stays.

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <random>
#include <string>

#include "hydra/v1/log.pb.h"
#include "test/integration/harness/attached.h"
#include "test/integration/harness/native_container.h"
#include "test/integration/harness/raw_http2.h"

namespace hydra::testing {
namespace {

class RobustTest : public IntegrationTest {
 public:
  RobustTest() : container_(this, "c", {"/bin/sleep", "1000"}) {
    container_.request().set_input(true);
    container_.Run();
    grpc_ = container_.GrpcProcess();
    REQUIRE(grpc_ > 0);
    requests_ = Requests();
    descriptors_ = Descriptors();
  }

  // Whatever `misbehave` did: the same process answers, and has no more on its
  // hands than before.
  void Survives(const std::function<void()>& misbehave) {
    misbehave();
    CHECK(Eventually([&] { return Requests() == requests_; }));
    CHECK(Eventually([&] { return Descriptors() <= descriptors_; }));
    CHECK(container_.GrpcProcess() == grpc_);
  }
  RawHttp2 Connect() { return RawHttp2(container_.socket()); }
  static std::string StartMessage() {
    v1::AttachRequest request;
    request.mutable_start();
    return RawHttp2::Message(request.SerializeAsString());
  }
  static std::string InputMessage(size_t size) {
    v1::AttachRequest request;
    request.set_input(std::string(size, 'x'));
    return RawHttp2::Message(request.SerializeAsString());
  }
  uint64_t Requests() { return container_.Inspect().counts().requests(); }

 protected:
  NativeContainer container_;

 private:
  ptrdiff_t Descriptors() const {
    const std::filesystem::directory_iterator entries(
        "/proc/" + std::to_string(grpc_) + "/fd");
    return std::distance(begin(entries), end(entries));
  }

  pid_t grpc_ = 0;
  uint64_t requests_ = 0;
  ptrdiff_t descriptors_ = 0;
};

TEST_CASE_METHOD(RobustTest, "Clients vanish in the middle of a stream",
                 "[grpc][streams][error][hydra]") {
  for (const char* method : {"Logs", "Events", "Attach"}) {
    CAPTURE(method);
    // Before the first message, in it, and behind it.
    Survives([&] { Connect().SendHeaders(kInstance, method); });
    Survives([&] {
      RawHttp2 client = Connect();
      client.SendHeaders(kInstance, method);
      client.SendData(StartMessage().substr(0, 6));
    });
    Survives([&] {
      RawHttp2 client = Connect();
      client.SendHeaders(kInstance, method);
      v1::LogsRequest follow;
      follow.set_follow(true);
      client.SendData(RawHttp2::Message(follow.SerializeAsString()), true);
    });
  }
  // While input waits. More than HTTP/2's window cannot be sent by a client
  // that does not look at it, so most of it comes from another.
  for (int i = 0; i < 6; ++i) container_.Write(std::string(60'000, 'x'));
  Survives([&] {
    RawHttp2 client = Connect();
    client.SendHeaders(kInstance, "Attach");
    client.SendData(StartMessage());
    REQUIRE(client.ReadUntil("application/grpc"));
    // The pipe is full, and so is what the monitor keeps: this waits.
    client.SendData(InputMessage(60'000));
    REQUIRE(Eventually([&] { return Requests() >= 3; }));
  });
}

TEST_CASE_METHOD(RobustTest, "Messages that are none, or too long",
                 "[grpc][streams][error][hydra]") {
  constexpr char kTrailers[] = "grpc-status";
  for (const char* method : {"Logs", "Events", "Attach"}) {
    CAPTURE(method);
    const auto answers = [&](const std::string& data, bool ends) {
      Survives([&] {
        RawHttp2 client = Connect();
        client.SendHeaders(kInstance, method);
        client.SendData(data, ends);
        CHECK(client.ReadUntil(kTrailers));
      });
    };
    answers(RawHttp2::Message("\xff\xff garbage"), false);
    // Says that it is compressed.
    answers("\x01" + RawHttp2::Message("garbage").substr(1), false);
    // End before they are as long as they say.
    answers(std::string("\x00\xff\xff\xff\xff garbage", 13), true);
    answers(std::string("\x00\x00\x50\x00\x00", 5), true);
  }
  const auto attached = [&](const std::string& data, bool ends,
                            const char* answer) {
    Survives([&] {
      RawHttp2 client = Connect();
      client.SendHeaders(kInstance, "Attach");
      client.SendData(StartMessage());
      client.SendData(data, ends);
      CHECK(client.ReadUntil(answer));
    });
  };
  attached(RawHttp2::Message("\xff\xff garbage"), false, kTrailers);
  attached(StartMessage(), false, kTrailers);
  // A part of a message is as none: still attached, until it vanishes.
  attached(std::string("\x00\x00\x50\x00\x00", 5), false, "application/grpc");
  attached(InputMessage(1000).substr(0, 500), true, "application/grpc");
}

TEST_CASE_METHOD(RobustTest, "Bytes at random",
                 "[grpc][streams][error][hydra]") {
  std::minstd_rand random(20);
  const auto bytes = [&](size_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  };
  for (int i = 0; i < 30; ++i) {
    CAPTURE(i);
    Survives([&] {
      // Behind the preface: frames that are none.
      Connect().SendBytes(bytes(1 + random() % 4000));
      // In a call: messages that are none.
      RawHttp2 client = Connect();
      client.SendHeaders(kInstance, i % 3 == 0   ? "Attach"
                                    : i % 3 == 1 ? "Logs"
                                                 : "Events");
      if (i % 2 == 0) client.SendData(StartMessage());
      client.SendData(bytes(1 + random() % 4000), i % 5 == 0);
      // And frames of all kinds.
      client.SendFrame(static_cast<uint8_t>(random() % 12),
                       static_cast<uint8_t>(random()), random() % 4,
                       bytes(random() % 100));
    });
  }
  // It still serves those that behave.
  Attached attached(container_.socket());
  REQUIRE(attached.Start());
  container_.Kill(9);
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.ended() == 137u);
}

}  // namespace
}  // namespace hydra::testing
