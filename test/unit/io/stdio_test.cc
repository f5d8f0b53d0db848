// How long the end of a process's streams is waited for.

#include "shim/io/stdio.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <memory>

#include "test/unit/base/temp_directory.h"
#include "test/unit/event/run_loop.h"
#include "test/unit/task/fake_monitor.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

// A process with a standard output that is not read to its end yet.
struct StdioFixture {
  StdioFixture() {
    REQUIRE(mkfifo((directory / "out").c_str(), 0600) == 0);
    Stdio::Config config;
    config.process = 1;
    config.stdout_name = directory / "out";
    stdio = std::make_unique<Stdio>(loop.get(), client.get(), config);
    MonitorClient::Handlers handlers;
    handlers.on_stream = [this](const link::StreamState&) {
      stdio->OnStream();
    };
    REQUIRE(client->Serve(std::move(handlers)).ok());
    monitor.on_stream = [this] {
      ++asked;
      copied += rate;
      link::StreamState state = {};
      state.bytes = copied;
      state.ended = copied >= total ? 1 : 0;
      return state;
    };
    auto opened = Await(loop.get(), stdio->Open());
    REQUIRE(opened.ok());
  }

  bool Drain(milliseconds limit, milliseconds longest) {
    return Await(loop.get(), stdio->Drain(limit, longest));
  }

  TempDirectory directory;
  std::unique_ptr<EventLoop> loop = MakeLoop();
  FakeMonitor monitor;
  std::unique_ptr<MonitorClient> client = monitor.Connect(loop.get());
  std::unique_ptr<Stdio> stdio;
  uint64_t rate = 0;  // Copied between two looks.
  uint64_t copied = 0;
  uint64_t total = 1000;
  int asked = 0;
};

TEST_CASE_METHOD(StdioFixture, "A drain gives up a reader that is gone",
                 "[io][drain]") {
  CHECK_FALSE(Drain(milliseconds(20), std::chrono::hours(1)));
  // At the end of input, before the first wait, and after it.
  CHECK(asked == 3);
}

TEST_CASE_METHOD(StdioFixture, "A drain goes on while something is read",
                 "[io][drain]") {
  rate = 100;
  CHECK(Drain(milliseconds(20), std::chrono::hours(1)));
  CHECK(asked == 10);
}

TEST_CASE_METHOD(StdioFixture, "A drain ends, however much there is to read",
                 "[io][drain]") {
  rate = 1;
  total = UINT64_MAX;
  const auto start = EventLoop::Clock::now();
  CHECK_FALSE(Drain(milliseconds(20), milliseconds(100)));
  CHECK(EventLoop::Clock::now() - start >= milliseconds(100));
}

TEST_CASE_METHOD(StdioFixture, "What is told of a closed stream is not kept",
                 "[io][link]") {
  const Future<bool> told = client->AskStreams();
  client->CloseStream(5);
  CHECK(
      Await(loop.get(), SetWithin(loop.get(), told, std::chrono::seconds(9))));
  CHECK(client->FindStream(5) == nullptr);
}

}  // namespace
}  // namespace hydra
