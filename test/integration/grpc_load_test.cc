// Watchers of a container that writes at full speed: it is not to notice them,
// and one that does not read is not to be noticed by the others.

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>
#include <thread>

#include "hydra/v1/log.pb.h"
#include "test/integration/harness/attached.h"
#include "test/integration/harness/native_container.h"
#include "test/integration/harness/stream_client.h"

namespace hydra::testing {
namespace {

constexpr Milliseconds kLimit{120'000};
// What the container writes whenever it is told to.
constexpr size_t kSize = 48'000'000;
constexpr uint64_t kLog = 128 << 20;

std::string NumberedLines() {
  std::string text;
  text.reserve(kSize);
  char line[17];
  for (size_t i = 0; text.size() < kSize; ++i) {
    snprintf(line, sizeof(line), "%015zu\n", i);
    text += line;
  }
  return text;
}

// Is attached, reads on a thread of its own, and compares.
class Watcher final {
 public:
  Watcher(const std::string& socket_path, const std::string* lines)
      : client_(socket_path, kInstance, "Attach"), lines_(*lines) {}
  ~Watcher() { Join(); }

  bool Start() {
    v1::AttachRequest request;
    request.mutable_start();
    if (!client_.Send(request) || !client_.Read().has_value()) return false;
    thread_ = std::thread([this] { Watch(); });
    return true;
  }
  bool WaitFor(size_t bytes) {
    return Eventually([&] { return bytes_ >= bytes || at_end_; }, kLimit) &&
           bytes_ == bytes;
  }
  void Join() {
    if (thread_.joinable()) thread_.join();
  }
  // After Join().
  size_t bytes() const { return bytes_; }
  bool is_whole() const { return is_whole_; }
  std::optional<uint32_t> ended() const { return ended_; }
  Code code() const { return code_; }

 private:
  void Watch() {
    while (auto message = client_.Receive<v1::AttachResponse>(kLimit)) {
      if (message->has_ended()) ended_ = message->ended().exit_status();
      const std::string& data = message->output().data();
      const size_t at = bytes_ % kSize;
      const size_t head = std::min(data.size(), kSize - at);
      is_whole_ &= lines_.compare(at, head, data, 0, head) == 0 &&
                   lines_.compare(0, data.size() - head, data, head) == 0;
      bytes_ += data.size();
    }
    if (client_.at_end()) code_ = client_.Finish().code;
    at_end_ = true;
  }

  StreamClient client_;
  const std::string& lines_;
  std::thread thread_;
  std::atomic<size_t> bytes_{0};
  std::atomic<bool> at_end_{false};
  bool is_whole_ = true;
  std::optional<uint32_t> ended_;
  Code code_ = Code::kNoAnswer;
};

TEST_CASE_METHOD(IntegrationTest, "Watchers do not hold up the container",
                 "[grpc][streams][load][hydra]") {
  NativeContainer container(
      this, "c",
      {"/bin/sh", "-c",
       "n=0; while read -r x; do /payload/numbered-lines " +
           std::to_string(kSize) +
           "; n=$((n + 1)); echo > /tmp/done-$n; done; exit 6"});
  container.request().set_input(true);
  container.request().set_log_max_bytes(kLog);
  container.Run();
  // In MB/s.
  int round = 0;
  const auto write = [&](const std::string& when,
                         const std::function<bool()>& go) {
    const std::string done =
        container.bundle() + "/rootfs/tmp/done-" + std::to_string(++round);
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(go());
    REQUIRE(Eventually([&] { return std::filesystem::exists(done); }, kLimit));
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - begin;
    const double rate = static_cast<double>(kSize) / 1e6 / took.count();
    std::cout << when << ": " << static_cast<int>(rate) << " MB/s\n";
    return rate;
  };
  double alone = 0;
  for (int i = 0; i < 2; ++i) {
    alone = std::max(alone, write("nobody watches", [&] {
                       container.Write("go\n");
                       return true;
                     }));
  }

  const std::string lines = NumberedLines();
  Watcher first(container.socket(), &lines);
  Watcher second(container.socket(), &lines);
  // Reads nothing; and this one only writes.
  Attached stopped(container.socket());
  Attached writer(container.socket());
  REQUIRE(first.Start());
  REQUIRE(second.Start());
  REQUIRE(stopped.Start());
  REQUIRE(writer.Start());
  double watched = 0;
  // As much as the log takes: nobody can miss a thing yet.
  static_assert(2 * kSize < kLog - kLog / 8);
  for (int i = 0; i < 2; ++i) {
    watched = std::max(
        watched, write("three watch", [&] { return writer.Write("go\n"); }));
  }
  std::cout << "watched over alone: " << watched / alone << '\n';
  CHECK(watched > alone / 20);
  // From here on only who keeps up.
  size_t total = 2 * kSize;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(first.WaitFor(total));
    REQUIRE(second.WaitFor(total));
    write("three watch, two with all before",
          [&] { return writer.Write("go\n"); });
    total += kSize;
  }
  REQUIRE(first.WaitFor(total));
  REQUIRE(second.WaitFor(total));

  for (Attached* slow : {&stopped, &writer}) {
    const RawReply end = slow->TakeAll();
    CAPTURE(end.message);
    CHECK(end.code == Code::kResourceExhausted);
    CHECK(end.message.find("read too slowly") != std::string::npos);
    CHECK(slow->last().missed());
    CHECK(slow->last().lost() > 0);
    CHECK(slow->is_orderly());
    // What came before was whole.
    CHECK(slow->text().size() < kSize);
    CHECK(lines.compare(0, slow->text().size(), slow->text()) == 0);
    std::cout << "who did not read got " << slow->text().size()
              << " bytes, and missed " << slow->last().lost() << '\n';
  }
  const v1::InspectResponse inspected = container.Inspect();
  CHECK(inspected.container().log().lost() == 0);
  for (const auto& output : inspected.container().outputs()) {
    CHECK(output.lost() == 0);
  }

  v1::WriteInputRequest close;
  close.set_close(true);
  (void)container.Call<v1::WriteInputResponse>(kInstance, "WriteInput", close);
  for (Watcher* watcher : {&first, &second}) {
    watcher->Join();
    CHECK(watcher->bytes() == total);
    CHECK(watcher->is_whole());
    CHECK(watcher->ended() == 6u);
    CHECK(watcher->code() == Code::kOk);
  }
}

}  // namespace
}  // namespace hydra::testing
