// hydra.v1.Instance/Logs and Events.

#include <signal.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "containerd/events/task.pb.h"
#include "google/protobuf/empty.pb.h"
#include "hydra/v1/events.pb.h"
#include "hydra/v1/log.pb.h"
#include "test/integration/harness/native_container.h"
#include "test/integration/harness/stream_client.h"

namespace hydra::testing {
namespace {

int64_t UnixNow() {
  return std::chrono::nanoseconds(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What a call gives until it has ended.
template <typename Message>
struct Whole {
  std::vector<Message> messages;
  RawReply end;
};

template <typename Message, typename Request>
Whole<Message> ReadToEnd(const std::string& socket, const std::string& method,
                         const Request& request) {
  Whole<Message> whole;
  StreamClient client(socket, kInstance, method);
  CHECK(client.Send(request));
  CHECK(client.WritesDone());
  while (auto message = client.Receive<Message>()) {
    whole.messages.push_back(*std::move(message));
  }
  REQUIRE(client.at_end());
  whole.end = client.Finish();
  return whole;
}

std::string TextOf(const std::vector<v1::LogEntry>& entries) {
  std::string text;
  for (const v1::LogEntry& entry : entries) text += entry.data();
  return text;
}

class LogsTest : public IntegrationTest {
 public:
  Whole<v1::LogEntry> Logs(const NativeContainer& container,
                           const v1::LogsRequest& request) {
    return ReadToEnd<v1::LogEntry>(container.socket(), "Logs", request);
  }
  // Its text, if it ends well.
  std::string Text(const NativeContainer& container,
                   const v1::LogsRequest& request) {
    const auto logs = Logs(container, request);
    CAPTURE(logs.end.message);
    CHECK(logs.end.code == Code::kOk);
    return TextOf(logs.messages);
  }
  bool Waits(const NativeContainer& container, const std::string& text) {
    return Eventually(
        [&] { return Text(container, v1::LogsRequest()) == text; });
  }
};

TEST_CASE_METHOD(LogsTest, "Logs begin where they are asked to",
                 "[grpc][streams][hydra]") {
  NativeContainer container(
      this, "c", {"/bin/sh", "-c", "while read -r x; do echo line $x; done"});
  container.request().set_input(true);
  container.Run();
  std::string text;
  for (const char* number : {"1", "2", "3", "4", "5"}) {
    container.Write(number + std::string("\n"));
    text += "line " + std::string(number) + "\n";
    REQUIRE(Waits(container, text));
  }
  const auto all = Logs(container, v1::LogsRequest()).messages;
  REQUIRE(all.size() == 5);
  v1::LogsRequest request;
  for (size_t i = 1; i < all.size(); ++i) {
    CHECK(all[i].position() > all[i - 1].position());
    CHECK(all[i].time() >= all[i - 1].time());
    CHECK(all[i].stream() == v1::STDOUT);
    request.mutable_start()->set_position(all[i].position());
    CHECK(Text(container, request) == TextOf({all.begin() + i, all.end()}));
    request.mutable_start()->set_since(all[i].time());
    CHECK(Text(container, request) == TextOf({all.begin() + i, all.end()}));
  }
  for (const auto& [lines, expected] : {std::pair<uint64_t, std::string>(0, ""),
                                        {1, "line 5\n"},
                                        {2, "line 4\nline 5\n"},
                                        {100, text}}) {
    request.mutable_start()->set_tail_lines(lines);
    CHECK(Text(container, request) == expected);
  }
  for (const auto& [bytes, expected] : {std::pair<uint64_t, std::string>(0, ""),
                                        {3, " 5\n"},
                                        {8, "\nline 5\n"},
                                        {100, text}}) {
    request.mutable_start()->set_tail_bytes(bytes);
    CHECK(Text(container, request) == expected);
  }
  request.mutable_start()->set_since(UnixNow());
  CHECK(Text(container, request).empty());
}

TEST_CASE_METHOD(LogsTest, "Logs tell the streams apart",
                 "[grpc][streams][hydra]") {
  NativeContainer container(
      this, "c", {"/bin/sh", "-c", "echo out; echo err >&2; echo out; exit 3"});
  container.Run();
  v1::LogsRequest request;
  request.set_follow(true);
  request.set_stream(v1::STDOUT);
  CHECK(Text(container, request) == "out\nout\n");
  request.set_stream(v1::STDERR);
  CHECK(Text(container, request) == "err\n");
  request.set_stream(v1::CONSOLE);
  CHECK(Text(container, request).empty());
  request.clear_stream();
  CHECK(Text(container, request).size() == 12);
}

TEST_CASE_METHOD(LogsTest, "Logs are followed over restarts to the end",
                 "[grpc][streams][hydra]") {
  NativeContainer container(this, "c", {"/bin/sh", "-c", "echo run; exit 3"});
  container.request().mutable_restart()->set_name(
      v1::RestartPolicy::ON_FAILURE);
  container.request().mutable_restart()->set_max_retries(2);
  container.Run();
  v1::LogsRequest request;
  request.set_follow(true);
  CHECK(Text(container, request) == "run\nrun\nrun\n");
  CHECK(container.Inspect().container().restarts() == 2);
  // It has ended, so they end at once.
  CHECK(Text(container, request) == "run\nrun\nrun\n");
}

TEST_CASE_METHOD(LogsTest, "Logs end at a time", "[grpc][streams][hydra]") {
  NativeContainer container(
      this, "c",
      {"/bin/sh", "-c", "echo one; read -r x; echo two; sleep 1000"});
  container.request().set_input(true);
  container.Run();
  REQUIRE(Waits(container, "one\n"));
  container.Write("\n");
  REQUIRE(Waits(container, "one\ntwo\n"));
  const auto all = Logs(container, v1::LogsRequest()).messages;
  REQUIRE(all.size() == 2);
  v1::LogsRequest request;
  request.set_until(all[0].time());
  CHECK(Text(container, request) == "one\n");
  request.set_until(all[0].time() - 1);
  CHECK(Text(container, request).empty());
  // One that nothing comes before has to be waited for.
  request.set_follow(true);
  const int64_t until = UnixNow() + 300'000'000;
  request.set_until(until);
  CHECK(Text(container, request) == "one\ntwo\n");
  CHECK(UnixNow() >= until);
}

TEST_CASE_METHOD(LogsTest,
                 "A container that goes on writing keeps no logs open",
                 "[grpc][streams][hydra]") {
  NativeContainer container(
      this, "c", {"/bin/sh", "-c", "while echo 0123456789; do :; done"});
  container.request().set_log_max_bytes(16 << 20);
  container.Run();
  REQUIRE(Eventually([&] {
    return container.Inspect().container().log().written() > 100'000;
  }));
  v1::LogsRequest request;
  request.mutable_start()->set_tail_lines(1000);
  const std::string text = Text(container, request);
  CHECK(text.size() >= 1000 * 11);
}

TEST_CASE_METHOD(LogsTest, "Logs tell what has been removed",
                 "[grpc][streams][hydra]") {
  constexpr size_t kSize = 8'000'000;
  NativeContainer container(
      this, "c",
      {"/bin/sh", "-c",
       "echo first; /payload/numbered-lines " + std::to_string(kSize)});
  container.request().set_log_max_bytes(1 << 20);
  container.Run();
  v1::LogsRequest request;
  request.set_follow(true);
  request.mutable_start()->set_tail_lines(0);
  (void)Text(container, request);  // Until it has ended.
  request.mutable_start()->set_position(0);
  const auto logs = Logs(container, request);
  CHECK(logs.end.code == Code::kOk);
  REQUIRE(logs.messages.size() > 1);
  CHECK(logs.messages[0].missed());
  CHECK(logs.messages[0].lost() > 0);
  CHECK(logs.messages[0].data().empty());
  const std::string text = TextOf(logs.messages);
  CHECK(text.size() > 500'000);
  CHECK(text.size() < (1 << 20));
  CHECK(text.substr(text.size() - 16) == "000000000499999\n");
}

TEST_CASE_METHOD(LogsTest, "What is no request for logs is refused",
                 "[grpc][streams][error][hydra]") {
  NativeContainer container(this, "c", {"/bin/true"});
  const auto fails = [&](const std::string& method, const std::string& request,
                         Code code) {
    StreamClient client(container.socket(), kInstance, method);
    CHECK(client.Write(request));
    CHECK_FALSE(client.Read().has_value());
    const RawReply end = client.Finish();
    CAPTURE(method, end.message);
    CHECK(end.code == code);
    CHECK_FALSE(end.message.empty());
  };
  v1::LogsRequest request;
  fails("Logs", request.SerializeAsString(), Code::kNotFound);
  request.set_stream(static_cast<v1::Stream>(77));
  fails("Logs", request.SerializeAsString(), Code::kInvalidArgument);
  fails("Logs", "\xff\xff garbage", Code::kInvalidArgument);
  fails("Events", "\xff\xff garbage", Code::kInvalidArgument);
  for (const char* method : {"Logs", "Events", "Attach"}) {
    StreamClient client(container.socket(), kInstance, method);
    CHECK(client.WritesDone());
    CHECK_FALSE(client.Read().has_value());
    CHECK(client.Finish().code == Code::kInvalidArgument);
  }
}

class EventsTest : public IntegrationTest {
 public:
  Whole<v1::Event> Events(const NativeContainer& container, uint64_t from) {
    v1::EventsRequest request;
    request.set_from(from);
    auto events = ReadToEnd<v1::Event>(container.socket(), "Events", request);
    CHECK(events.end.code == Code::kOk);
    return events;
  }
  static void FollowsOn(const std::vector<v1::Event>& events, uint64_t from) {
    for (const v1::Event& event : events) CHECK(event.sequence() == from++);
  }
};

TEST_CASE_METHOD(EventsTest, "Who has been away has missed no event",
                 "[grpc][streams][hydra]") {
  NativeContainer container(this, "c", {"/bin/sleep", "1000"});
  container.Run();
  std::vector<v1::Event> seen;
  {
    v1::EventsRequest request;
    request.set_follow(true);
    StreamClient client(container.socket(), kInstance, "Events");
    REQUIRE(client.Send(request));
    while (seen.size() < 2) {
      const auto event = client.Receive<v1::Event>();
      REQUIRE(event.has_value());
      seen.push_back(*event);
    }
  }
  FollowsOn(seen, 1);
  CHECK(seen[0].topic() == "/tasks/create");
  CHECK(seen[1].topic() == "/tasks/start");
  CHECK(seen[1].time() > 0);
  containerd::events::TaskStart start;
  CHECK(seen[1].payload().type_url() == "containerd.events.TaskStart");
  REQUIRE(start.ParseFromString(seen[1].payload().value()));
  CHECK(start.container_id() == "c");

  container.Restart();
  const auto missed = Events(container, 3).messages;
  FollowsOn(missed, 3);
  std::vector<std::string> topics;
  for (const auto& event : missed) topics.push_back(event.topic());
  CHECK(std::count(topics.begin(), topics.end(), "/tasks/exit") == 1);
  CHECK(std::count(topics.begin(), topics.end(), "/tasks/start") == 1);
  // All of them again, and none.
  CHECK(Events(container, 0).messages.size() == 2 + missed.size());
  const uint64_t next = 3 + missed.size();
  CHECK(Events(container, next).messages.empty());

  // And what comes while it is waited for.
  v1::EventsRequest request;
  request.set_follow(true);
  request.set_from(next);
  StreamClient client(container.socket(), kInstance, "Events");
  REQUIRE(client.Send(request));
  container.Kill(SIGKILL);
  const auto exit = client.Receive<v1::Event>();
  REQUIRE(exit.has_value());
  CHECK(exit->sequence() == next);
  CHECK(exit->topic() == "/tasks/exit");
}

TEST_CASE_METHOD(EventsTest, "Events that are not kept any more are told of",
                 "[grpc][streams][hydra]") {
  NativeContainer container(this, "c", {"/bin/sleep", "1000"});
  container.Run();
  constexpr uint64_t kMore = 300;
  auto exec = TaskClient::For<task_api::ExecProcessRequest>("c", "e");
  exec.mutable_spec()->set_value(R"({"args": ["/bin/true"], "cwd": "/"})");
  for (uint64_t i = 0; i < kMore; ++i) {
    (void)container.Call<google::protobuf::Empty>(kTaskV2, "Exec", exec);
    (void)container.Call<task_api::DeleteResponse>(
        kTaskV2, "Delete", TaskClient::For<task_api::DeleteRequest>("c", "e"));
  }
  // A client that begins with the oldest has missed nothing.
  const auto all = Events(container, 0).messages;
  REQUIRE(all.size() > 200);
  FollowsOn(all, all[0].sequence());
  CHECK(all[0].sequence() > 2);
  CHECK(all.back().sequence() == 2 + kMore);
  const auto events = Events(container, 2).messages;
  REQUIRE(events.size() == all.size() + 1);
  FollowsOn(events, all[0].sequence() - 1);
  CHECK(events[0].topic() == "/hydra/missed");
  CHECK(events[0].payload().type_url() == "hydra.v1.Missed");
  v1::Missed missed;
  REQUIRE(missed.ParseFromString(events[0].payload().value()));
  CHECK(missed.count() == all[0].sequence() - 2);
}

}  // namespace
}  // namespace hydra::testing
