// An output whose reader stalls or is gone: the container goes on, and the
// reader gets everything, in order.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "test/unit/monitor/spool_fixture.h"

namespace hydra::monitor {
namespace {

using link::SpoolPolicy;
using link::StreamKind;
using link::StreamState;
using link::Type;

constexpr uint64_t kMiB = 1 << 20;
// More than fits into two pipes that have been widened.
constexpr uint64_t kBeyondPipes = kMiB;

TEST_CASE_METHOD(SpoolStreamFixture,
                 "Output that nobody reads is kept for the next reader",
                 "[monitor][spool]") {
  Add(64 * kMiB);
  std::string sent = NumberedLines(0, 8 * kMiB / 16);
  // 50 ms is what is promised; a test machine has other things to do as well.
  CHECK(Write(sent) < 250);
  REQUIRE(WaitForSpooling(true));
  StreamState state = State();
  CHECK(state.spooled_bytes > 7 * kMiB);
  CHECK(state.spool_size == state.spooled_bytes);
  CHECK(state.replayed_bytes == 0);
  CHECK(state.spool_error == 0);
  CHECK(ComesToRest());
  REQUIRE(kill(pid(), SIGUSR1) == 0);
  CHECK(Eventually([&] {
    return Log().find(", in the spool " + std::to_string(state.spool_size)) !=
           std::string::npos;
  }));
  // No name, so nothing that could be left.
  CHECK(std::filesystem::is_empty(path("spool")));

  const int fds = FdCount();
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
  REQUIRE(WaitForSpooling(false));
  CHECK(FdCount() == fds - 1);
  state = State();
  CHECK(state.spool_size == 0);
  CHECK(state.replayed_bytes == state.spooled_bytes);
  CHECK(state.bytes == sent.size());

  SECTION("and the direct way is taken again") {
    Write("direct");
    CHECK(ReadBytes(reader.get(), 6) == "direct");
    CHECK(State().spooled_bytes == state.spooled_bytes);
  }
  SECTION("who may stall again") {
    sent = NumberedLines(1'000'000, kBeyondPipes / 16);
    Write(sent);
    REQUIRE(WaitForSpooling(true));
    CHECK(ReadBytes(reader.get(), sent.size()) == sent);
  }
  SECTION("and the end comes after all of it") {
    sent = NumberedLines(2'000'000, kBeyondPipes / 16);
    Write(sent);
    source().Reset();
    CHECK(head->IsQuiet(200));
    CHECK(ReadBytes(reader.get(), sent.size() + 1) == sent);
    const StreamState end = ExpectEnd();
    CHECK(end.bytes == 8 * kMiB + sent.size());
    CHECK(end.lost_bytes == 0);
  }
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "A reader that comes and goes misses nothing",
                 "[monitor][spool]") {
  Add(64 * kMiB);
  const std::string sent = NumberedLines(0, 16 * kMiB / 16);
  std::thread writer([&] {
    fcntl(source().get(), F_SETFL, 0);
    for (size_t done = 0; done < sent.size();) {
      const ssize_t n = write(source().get(), sent.data() + done,
                              std::min<size_t>(sent.size() - done, 100'000));
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    source().Reset();
  });
  std::string received;
  UniqueFd reader = OpenReader();
  std::string block(70'000, '\0');
  for (int i = 0; received.size() < sent.size(); ++i) {
    if (i % 20 == 19) {
      reader.Reset();
      // Long enough for a stall; the writer writes meanwhile. What the head is
      // told may be the end already, and is not to be missed.
      std::this_thread::sleep_for(std::chrono::milliseconds(2 * kStallMs));
      reader = OpenReader();
    }
    if (!Ready(reader.get(), POLLIN, kPatience)) break;
    const ssize_t n = read(reader.get(), block.data(), block.size());
    if (n <= 0) break;
    received.append(block, 0, static_cast<size_t>(n));
  }
  writer.join();
  CHECK(received == sent);
  const StreamState end = ExpectEnd();
  CHECK(end.lost_bytes == 0);
  CHECK(end.spooled_bytes > 0);
  CHECK(end.replayed_bytes == end.spooled_bytes);
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "A stream that comes after another keeps its place",
                 "[monitor][spool]") {
  Add(64 * kMiB);
  const std::string first = NumberedLines(0, 2 * kMiB / 16);
  Write(first);
  REQUIRE(WaitForSpooling(true));
  Pipe pipe = MakePipe();
  const UniqueFd sink(
      open(path("out").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  link::StreamAdd body = {};
  body.stream = kStream + 1;
  body.kind = static_cast<uint32_t>(StreamKind::kOutput);
  body.spool_max_bytes = 64 * kMiB;
  body.spool_stall_ms = kStallMs;
  body.after = kStream;
  head->Send(Type::kStreamAdd, 0, 0, body, path("spool"),
             {pipe.read.get(), sink.get()});
  pipe.read.Reset();
  const std::string second = NumberedLines(1'000'000, 2 * kMiB / 16);
  // Nobody waits: it goes to a spool of its own.
  WriteBytes(pipe.write.get(), second);
  pipe.write.Reset();
  source().Reset();
  SECTION("in one monitor") {}
  SECTION("over an upgrade") {
    head->Upgrade(link::kInternalToken | 1, 1, {.monitor = HYDRA_MONITOR_NEXT});
    head = AcceptHead();
    head->Hello();
  }
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), first.size() + second.size()) ==
        first + second);
  CHECK(head->Expect(Type::kStream).Body<StreamState>().stream == kStream);
  const auto end = head->Expect(Type::kStream).Body<StreamState>();
  CHECK(end.stream == kStream + 1);
  CHECK(end.bytes == second.size());
  CHECK(end.lost_bytes == 0);
}

TEST_CASE_METHOD(SpoolStreamFixture, "At its bound a spool blocks, if it is to",
                 "[monitor][spool][idle]") {
  constexpr uint64_t kBound = kMiB;
  Add(kBound, SpoolPolicy::kBlock);
  const std::string sent = NumberedLines(0, 4 * kMiB / 16);
  const size_t taken = WriteUntilBlocked(sent, 300);
  CHECK(taken > kBound);
  CHECK(taken < 3 * kMiB);
  CHECK(State().spool_size == kBound);
  CHECK(ComesToRest());
  const UniqueFd reader = OpenReader();
  std::thread writer([&] { Write(std::string_view(sent).substr(taken)); });
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
  writer.join();
  CHECK(State().lost_bytes == 0);
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "At its bound a spool drops its oldest lines, if it is to",
                 "[monitor][spool]") {
  constexpr uint64_t kBound = kMiB;
  Add(kBound, SpoolPolicy::kDropOldest);
  constexpr uint64_t kLines = 6 * kMiB / 16;
  const std::string sent = NumberedLines(0, kLines);
  CHECK(Write(sent) < 250);
  source().Reset();
  const UniqueFd reader = OpenReader();
  const std::string received = ReadBytes(reader.get(), sent.size());
  const StreamState end = ExpectEnd();
  CHECK(end.bytes == received.size());
  CHECK(end.lost_bytes > 0);
  CHECK(received.size() + end.lost_bytes == sent.size());
  CHECK(end.spooled_bytes == end.replayed_bytes + end.lost_bytes);
  // Whole lines: what came before the spool, one gap, and the newest.
  REQUIRE(received.size() % 16 == 0);
  size_t gap = 0;
  while (received.compare(gap, 16, sent, gap, 16) == 0) gap += 16;
  CHECK(gap >= 65536);
  CHECK(received.substr(gap) == sent.substr(gap + end.lost_bytes));
  CHECK(received.size() - gap > kBound - (128 << 10));
}

TEST_CASE_METHOD(SpoolStreamFixture, "A head that dies changes no spool",
                 "[monitor][spool]") {
  Add(64 * kMiB);
  const std::string sent = NumberedLines(0, 2 * kMiB / 16);
  Write(std::string_view(sent).substr(0, kBeyondPipes));
  REQUIRE(WaitForSpooling(true));
  head->Kill();
  // It spools with no head at all.
  Write(std::string_view(sent).substr(kBeyondPipes));
  head = AcceptHead();
  const auto known = head->Hello();
  const auto state = known.back().Body<StreamState>();
  CHECK(known.back().type() == Type::kStream);
  CHECK(state.is_spooling == 1);
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "A finished output ends when its spool is read",
                 "[monitor][spool]") {
  Add(64 * kMiB);
  const std::string sent = NumberedLines(0, kBeyondPipes / 16);
  Write(sent);
  REQUIRE(WaitForSpooling(true));
  // Its writer stays open.
  head->StreamRef(Type::kStreamFinish, kStream);
  CHECK(head->IsQuiet(100));
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
  CHECK(ExpectEnd().bytes == sent.size());
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "A stream that is closed takes its spool along",
                 "[monitor][spool]") {
  Add(64 * kMiB);
  const int fds = FdCount();
  Write(NumberedLines(0, kBeyondPipes / 16));
  REQUIRE(WaitForSpooling(true));
  head->StreamRef(Type::kStreamClose, kStream);
  // Source, sink and spool.
  CHECK(Eventually([&] { return FdCount() == fds - 2; }));
  CHECK(Log().find("of its spool were never read") != std::string::npos);
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "A slow reader is not taken for a dead one",
                 "[monitor][spool]") {
  Add(64 * kMiB);
  const UniqueFd reader = OpenReader();
  const std::string sent = NumberedLines(0, kBeyondPipes / 16);
  std::thread writer([&] { Write(sent); });
  std::string received;
  std::string block(65536, '\0');
  while (received.size() < sent.size() &&
         Ready(reader.get(), POLLIN, kPatience)) {
    const ssize_t n = read(reader.get(), block.data(), block.size());
    REQUIRE(n > 0);
    received.append(block, 0, static_cast<size_t>(n));
  }
  writer.join();
  CHECK(received == sent);
  CHECK(State().spooled_bytes == 0);
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "Without a place for a spool the container waits",
                 "[monitor][spool][idle]") {
  std::ofstream(path("spool")) << "not a directory";
  Add(64 * kMiB);
  const std::string sent = NumberedLines(0, 4 * kMiB / 16);
  const size_t taken = WriteUntilBlocked(sent, 300);
  CHECK(taken < kMiB);
  CHECK(State().spool_error == ENOTDIR);
  const int64_t before = WakeUps();
  CHECK(head->IsQuiet(500));
  CHECK(WakeUps() - before <= 3);
  const UniqueFd reader = OpenReader();
  std::thread writer([&] { Write(std::string_view(sent).substr(taken)); });
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
  writer.join();
  CHECK(State().lost_bytes == 0);
}

TEST_CASE_METHOD(SpoolStreamFixture, "A sink that breaks loses what is spooled",
                 "[monitor][spool]") {
  Pipe from = MakePipe();
  Pipe sink = MakePipe();
  fcntl(sink.write.get(), F_SETFL, O_NONBLOCK);
  AddStream(StreamKind::kOutput, 0, 64 * kMiB, SpoolPolicy::kBlock,
            {from.read.get(), sink.write.get()});
  source() = std::move(from.write);
  fcntl(source().get(), F_SETFL, O_NONBLOCK);
  const std::string sent = NumberedLines(0, kBeyondPipes / 16);
  Write(sent);
  REQUIRE(WaitForSpooling(true));
  sink.write.Reset();
  sink.read.Reset();
  Write("more");
  source().Reset();
  const StreamState end = ExpectEnd();
  CHECK(end.sink_error == EPIPE);
  CHECK(end.bytes + end.lost_bytes == sent.size() + 4);
}

TEST_CASE_METHOD(SpoolStreamFixture, "A file has no spool",
                 "[monitor][spool][file]") {
  const UniqueFd file(open(path("file").c_str(),
                           O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  Pipe from = MakePipe();
  AddStream(StreamKind::kOutput, link::kStreamSinkIsFile, 64 * kMiB,
            SpoolPolicy::kBlock, {from.read.get(), file.get()});
  source() = std::move(from.write);
  Write(NumberedLines(0, kBeyondPipes / 16));
  source().Reset();
  const StreamState end = ExpectEnd();
  CHECK(end.bytes == kBeyondPipes);
  CHECK(end.spooled_bytes == 0);
}

}  // namespace
}  // namespace hydra::monitor
