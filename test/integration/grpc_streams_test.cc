// The streams of hydra.v1.Instance while others die, hang, leave or write at
// full speed.

#include <signal.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "hydra/v1/events.pb.h"
#include "hydra/v1/log.pb.h"
#include "test/integration/harness/attached.h"
#include "test/integration/harness/leftovers.h"
#include "test/integration/harness/native_container.h"
#include "test/integration/harness/stream_client.h"

namespace hydra::testing {
namespace {

// What /payload/numbered-lines writes.
std::string NumberedLines(size_t size) {
  std::string text;
  text.reserve(size);
  char line[17];
  for (size_t i = 0; text.size() < size; ++i) {
    snprintf(line, sizeof(line), "%015zu\n", i);
    text += line;
  }
  text.resize(size);
  return text;
}

class StreamsTest : public IntegrationTest {
 public:
  std::vector<pid_t> GrpcProcesses(NativeContainer* container) {
    const pid_t monitor = container->Monitor();
    std::vector<pid_t> pids;
    for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
      if (process.parent == monitor &&
          process.command.find("hydra-grpc") != std::string::npos) {
        pids.push_back(process.pid);
      }
    }
    return pids;
  }
};

// Follows the logs from the beginning, all of them.
class Follower final {
 public:
  explicit Follower(const std::string& socket_path)
      : client_(socket_path, kInstance, "Logs") {}
  bool Start(uint64_t position = 0) {
    v1::LogsRequest request;
    request.set_follow(true);
    request.mutable_start()->set_position(position);
    return client_.Send(request) && client_.WritesDone();
  }
  bool Take(Milliseconds limit = kPatience) {
    const auto entry = client_.Receive<v1::LogEntry>(limit);
    if (!entry.has_value()) return false;
    text_ += entry->data();
    last_ = *entry;
    return true;
  }
  RawReply TakeAll() {
    while (Take()) {
    }
    return client_.at_end() ? client_.Finish() : RawReply();
  }
  StreamClient& client() { return client_; }
  const std::string& text() const { return text_; }
  const v1::LogEntry& last() const { return last_; }

 private:
  StreamClient client_;
  std::string text_;
  v1::LogEntry last_;
};

// Writes so many bytes whenever it is told to.
std::vector<std::string> WriterOf(size_t size) {
  return {"/bin/sh", "-c",
          "while read -r x; do /payload/numbered-lines " +
              std::to_string(size) + "; done; exit 6"};
}

TEST_CASE_METHOD(StreamsTest, "Streams outlive the head",
                 "[grpc][streams][head][hydra]") {
  constexpr size_t kSize = 3'000'000;
  constexpr int kRounds = 8;
  NativeContainer container(this, "c", WriterOf(kSize));
  container.request().set_input(true);
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Start());
  Follower logs(container.socket());
  REQUIRE(logs.Start());
  v1::EventsRequest request;
  request.set_follow(true);
  StreamClient events(container.socket(), kInstance, "Events");
  REQUIRE(events.Send(request));
  const std::string lines = NumberedLines(kSize);
  std::string expected;
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    const pid_t head = container.Inspect().head().pid();
    REQUIRE(attached.Write("go\n"));
    expected += lines;
    // Somewhere in the middle of it.
    while (attached.text().size() + kSize * 7 / 8 < expected.size()) {
      REQUIRE(attached.Take());
    }
    REQUIRE(kill(head, SIGKILL) == 0);
    while (attached.text().size() < expected.size()) REQUIRE(attached.Take());
    while (logs.text().size() < expected.size()) REQUIRE(logs.Take());
  }
  CHECK(container.Inspect().head().deaths() == kRounds);
  REQUIRE(attached.CloseInput());
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.ended() == 6u);
  CHECK(attached.is_orderly());
  CHECK((attached.text() == expected));
  CHECK(logs.TakeAll().code == Code::kOk);
  CHECK((logs.text() == expected));
  for (const char* topic : {"/tasks/create", "/tasks/start", "/tasks/exit"}) {
    const auto event = events.Receive<v1::Event>();
    REQUIRE(event.has_value());
    CHECK(event->topic() == topic);
  }
}

TEST_CASE_METHOD(StreamsTest, "Who comes again goes on where it was",
                 "[grpc][streams][hydra]") {
  constexpr size_t kSize = 3'000'000;
  NativeContainer container(this, "c", WriterOf(kSize));
  container.request().set_input(true);
  container.Run();
  const std::string lines = NumberedLines(kSize);
  Attached attached(container.socket());
  REQUIRE(attached.Start());
  Follower logs(container.socket());
  REQUIRE(logs.Start());
  REQUIRE(attached.Write("go\n"));
  REQUIRE(attached.Take());
  REQUIRE(logs.Take());
  const std::vector<pid_t> processes = GrpcProcesses(&container);
  REQUIRE(processes.size() == 1);
  REQUIRE(kill(processes[0], SIGKILL) == 0);
  CHECK(attached.TakeAll().code == Code::kUnavailable);
  CHECK(logs.TakeAll().code == Code::kUnavailable);

  v1::AttachStart start;
  start.mutable_from()->set_position(attached.last().position());
  Attached again(container.socket());
  REQUIRE(again.Start(start));
  Follower logs_again(container.socket());
  REQUIRE(logs_again.Start(logs.last().position()));
  REQUIRE(again.CloseInput());
  CHECK(again.TakeAll().code == Code::kOk);
  CHECK(logs_again.TakeAll().code == Code::kOk);
  // The entry at that position is the last one that came before.
  const auto both = [](const auto& before, const auto& after) {
    return before.text() + after.text().substr(before.last().data().size());
  };
  CHECK((both(attached, again) == lines));
  CHECK((both(logs, logs_again) == lines));
}

TEST_CASE_METHOD(StreamsTest, "An upgrade ends no stream",
                 "[grpc][streams][upgrade][hydra]") {
  constexpr size_t kSize = 2'000'000;
  constexpr int kRounds = 3;
  NativeContainer container(this, "c", WriterOf(kSize));
  container.request().set_input(true);
  container.Run();
  const std::string lines = NumberedLines(kSize);
  auto attached = std::make_unique<Attached>(container.socket());
  REQUIRE(attached->Start());
  const std::vector<pid_t> before = GrpcProcesses(&container);
  REQUIRE(before.size() == 1);
  std::string expected;
  for (int round = 0; round < kRounds; ++round) {
    CAPTURE(round);
    REQUIRE(attached->Write("go\n"));
    (void)container.Call<v1::UpgradeResponse>(kInstance, "Upgrade",
                                              v1::UpgradeRequest());
    expected += lines;
    while (attached->text().size() < expected.size()) REQUIRE(attached->Take());
  }
  CHECK(container.Inspect().monitor().upgrades() == kRounds);
  CHECK(GrpcProcesses(&container) == before);
  // Who comes now is served by what is installed now.
  Attached fresh(container.socket());
  REQUIRE(fresh.Start());
  CHECK(GrpcProcesses(&container).size() == 2);
  REQUIRE(attached->Write("go\n"));
  expected += lines;
  while (fresh.text().size() < lines.size()) REQUIRE(fresh.Take());
  while (attached->text().size() < expected.size()) REQUIRE(attached->Take());
  CHECK((attached->text() == expected));
  CHECK((fresh.text() == lines));
  // The one before ends with its last connection.
  attached->client().Cancel();
  CHECK(attached->TakeAll().code == Code::kCancelled);
  attached.reset();
  container.Reconnect();
  CHECK(Eventually([&] {
    const std::vector<pid_t> now = GrpcProcesses(&container);
    return now.size() == 1 && now != before;
  }));
  REQUIRE(fresh.CloseInput());
  CHECK(fresh.TakeAll().code == Code::kOk);
  CHECK(fresh.ended() == 6u);
}

TEST_CASE_METHOD(StreamsTest, "Streams that end leave no requests",
                 "[grpc][streams][hydra]") {
  NativeContainer container(this, "c", {"/bin/sleep", "1000"});
  container.request().set_input(true);
  container.Run();
  const uint64_t before = container.Inspect().counts().requests();
  for (const bool cancels : {true, false}) {
    std::vector<std::unique_ptr<Attached>> attached;
    std::vector<std::unique_ptr<StreamClient>> others;
    constexpr uint64_t kEach = 5;
    for (uint64_t i = 0; i < kEach; ++i) {
      attached.push_back(std::make_unique<Attached>(container.socket()));
      REQUIRE(attached.back()->Start());
      v1::LogsRequest logs;
      logs.set_follow(true);
      others.push_back(std::make_unique<StreamClient>(container.socket(),
                                                      kInstance, "Logs"));
      REQUIRE(others.back()->Send(logs));
      v1::EventsRequest events;
      events.set_follow(true);
      events.set_from(1000);
      others.push_back(std::make_unique<StreamClient>(container.socket(),
                                                      kInstance, "Events"));
      REQUIRE(others.back()->Send(events));
    }
    // More than the monitor and a pipe take; it waits, and so does what is
    // behind it.
    REQUIRE(attached[0]->Write(std::string(1 << 20, 'x')));
    REQUIRE(Eventually([&] {
      return container.Inspect().counts().requests() == before + 3 * kEach + 1;
    }));
    if (cancels) {
      for (auto& one : attached) one->client().Cancel();
      for (auto& other : others) other->Cancel();
      CHECK(Eventually(
          [&] { return container.Inspect().counts().requests() == before; }));
    }
    // Otherwise the connections end.
    attached.clear();
    others.clear();
    CHECK(Eventually(
        [&] { return container.Inspect().counts().requests() == before; }));
    container.Restart();  // For the input.
  }
}

TEST_CASE_METHOD(StreamsTest, "There is a bound on streams",
                 "[grpc][streams][error][hydra]") {
  NativeContainer container(this, "c", {"/bin/sleep", "1000"});
  container.Run();
  std::vector<std::unique_ptr<StreamClient>> clients;
  v1::EventsRequest request;
  request.set_follow(true);
  std::unique_ptr<StreamClient> refused;
  for (int i = 0; i < 300 && refused == nullptr; ++i) {
    auto client =
        std::make_unique<StreamClient>(container.socket(), kInstance, "Events");
    REQUIRE(client->Send(request));
    if (client->Read().has_value()) {
      clients.push_back(std::move(client));
    } else {
      refused = std::move(client);
    }
  }
  REQUIRE(refused != nullptr);
  CHECK(clients.size() == 256);
  CHECK(refused->Finish().code == Code::kResourceExhausted);
  clients.clear();
  CHECK(Eventually([&] {
    StreamClient client(container.socket(), kInstance, "Events");
    return client.Send(request) && client.Read().has_value();
  }));
}

}  // namespace
}  // namespace hydra::testing
