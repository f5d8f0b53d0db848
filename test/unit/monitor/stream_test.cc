// Pipes, FIFOs and files: byte-exact, and never stopped by who does not read.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::StreamKind;
using link::StreamState;
using link::Type;

// FNV-1a, 64 bits.
uint64_t Hash(uint64_t hash, std::string_view data) {
  for (char c : data) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return hash;
}

UniqueFd MakeFifo(const std::string& path) {
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  // As the head opens a sink: there is always a reader, so never EPIPE.
  UniqueFd fd(open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(fd.valid());
  return fd;
}

UniqueFd OpenReader(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(fd.valid());
  return fd;
}

StreamState ExpectEnd(FakeHead& head, uint64_t stream) {
  const auto state = head.Expect(Type::kStream).Body<StreamState>();
  CHECK(state.stream == stream);
  CHECK(state.ended == 1);
  return state;
}

TEST_CASE("Output of 64 MiB arrives byte by byte the same",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  const UniqueFd reader = [&] {
    const UniqueFd sink = MakeFifo(monitor.path("out"));
    UniqueFd fd = OpenReader(monitor.path("out"));
    head->StreamAdd(1, StreamKind::kOutput, 0, {source.read.get(), sink.get()});
    // Until the monitor has its own, or there would be no writer.
    CHECK(head->IsQuiet());
    return fd;
  }();
  source.read.Reset();
  constexpr size_t kTotal = 64 << 20;
  uint64_t written_hash = 14695981039346656037u;
  std::thread writer([&] {
    std::minstd_rand random(1);
    size_t left = kTotal;
    while (left > 0) {
      const size_t size = std::min<size_t>(left, 1 + random() % 100'000);
      std::string block(size, '\0');
      for (char& c : block) c = static_cast<char>(random());
      written_hash = Hash(written_hash, block);
      for (size_t done = 0; done < size;) {
        const ssize_t n =
            write(source.write.get(), block.data() + done, size - done);
        if (n <= 0) return;
        done += static_cast<size_t>(n);
      }
      left -= size;
    }
    source.write.Reset();
  });
  uint64_t read_hash = 14695981039346656037u;
  size_t total = 0;
  std::string block(1 << 16, '\0');
  while (Ready(reader.get(), POLLIN, kPatience)) {
    const ssize_t n = read(reader.get(), block.data(), block.size());
    if (n <= 0) break;
    total += static_cast<size_t>(n);
    read_hash =
        Hash(read_hash, std::string_view(block.data(), static_cast<size_t>(n)));
  }
  writer.join();
  CHECK(total == kTotal);
  CHECK(read_hash == written_hash);
  const StreamState state = ExpectEnd(*head, 1);
  CHECK(state.kind == static_cast<uint32_t>(StreamKind::kOutput));
  CHECK(state.bytes == kTotal);
  CHECK(state.lost_bytes == 0);
  CHECK(state.sink_error == 0);
}

TEST_CASE("A FIFO that comes as a path is opened by the monitor",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  for (const char* name : {"in", "out"}) {
    REQUIRE(mkfifo(monitor.path(name).c_str(), 0600) == 0);
  }
  const auto path_of = [&](const char* name) {
    return UniqueFd(open(monitor.path(name).c_str(), O_PATH | O_CLOEXEC));
  };
  Pipe source = MakePipe();
  Pipe input = MakePipe();
  {
    const UniqueFd out = path_of("out");
    head->StreamAdd(1, StreamKind::kOutput, 0, {source.read.get(), out.get()});
    const UniqueFd in = path_of("in");
    const UniqueFd hold = path_of("in");
    head->StreamAdd(2, StreamKind::kInput, link::kStreamHoldsFifo,
                    {in.get(), input.write.get(), hold.get()});
  }
  // They wait for the other side, as a client's do.
  std::string read_from_out(6, '\0');
  UniqueFd out(open(monitor.path("out").c_str(), O_RDONLY | O_CLOEXEC));
  UniqueFd in(open(monitor.path("in").c_str(), O_WRONLY | O_CLOEXEC));
  REQUIRE(write(source.write.get(), "output", 6) == 6);
  REQUIRE(write(in.get(), "input", 5) == 5);
  REQUIRE(Ready(out.get(), POLLIN, kPatience));
  CHECK(read(out.get(), read_from_out.data(), 6) == 6);
  CHECK(read_from_out == "output");
  REQUIRE(Ready(input.read.get(), POLLIN, kPatience));
  // The FIFO is held: a client that goes is no end of file.
  input.write.Reset();
  in.Reset();
  char buffer[8];
  CHECK(read(input.read.get(), buffer, sizeof(buffer)) == 5);
  CHECK_FALSE(Ready(input.read.get(), POLLIN, 50));
  head->StreamRef(Type::kStreamCloseStdin, 2);
  REQUIRE(Ready(input.read.get(), POLLIN, kPatience));
  CHECK(read(input.read.get(), buffer, sizeof(buffer)) == 0);
}

TEST_CASE("A sink that nobody reads stalls its stream alone, without work",
          "[monitor][stream][idle]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  UniqueFd sink = MakeFifo(monitor.path("out"));
  head->StreamAdd(1, StreamKind::kOutput, 0, {source.read.get(), sink.get()});
  sink.Reset();
  source.read.Reset();
  fcntl(source.write.get(), F_SETFL, O_NONBLOCK);
  // Both pipes fill up.
  std::string written;
  const bool full = Eventually([&] {
    const std::string block(4096, static_cast<char>('a' + written.size() % 7));
    const ssize_t n = write(source.write.get(), block.data(), block.size());
    if (n > 0) written += block.substr(0, static_cast<size_t>(n));
    return n < 0 && !Ready(source.write.get(), POLLOUT, 100);
  });
  REQUIRE(full);
  CHECK(written.size() >= 2 * 65536);

  Pipe other = MakePipe();
  Pipe other_sink = MakePipe();
  head->StreamAdd(2, StreamKind::kOutput, 0,
                  {other.read.get(), other_sink.write.get()});
  WriteBytes(other.write.get(), "lively");
  CHECK(ReadBytes(other_sink.read.get(), 6) == "lively");
  CHECK(head->IsQuiet(500));
  CHECK(monitor.ComesToRest());

  // The reader is back; and the head may have gone in the meantime.
  head->Kill();
  auto next = monitor.AcceptReadyHead();
  source.write.Reset();
  const UniqueFd reader = OpenReader(monitor.path("out"));
  CHECK(ReadBytes(reader.get(), written.size() + 1) == written);
  CHECK(ExpectEnd(*next, 1).bytes == written.size());
}

TEST_CASE("A reader that leaves and comes back misses nothing",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  UniqueFd sink = MakeFifo(monitor.path("out"));
  UniqueFd reader = OpenReader(monitor.path("out"));
  head->StreamAdd(1, StreamKind::kOutput, 0, {source.read.get(), sink.get()});
  WriteBytes(source.write.get(), "first");
  CHECK(ReadBytes(reader.get(), 5) == "first");
  sink.Reset();
  reader.Reset();
  WriteBytes(source.write.get(), "second");
  CHECK(head->IsQuiet(100));
  reader = OpenReader(monitor.path("out"));
  CHECK(ReadBytes(reader.get(), 6) == "second");
}

TEST_CASE("What is left in a FIFO at the stream's end waits for a reader",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const int fds = monitor.FdCount();
  Pipe source = MakePipe();
  UniqueFd sink = MakeFifo(monitor.path("out"));
  head->StreamAdd(1, StreamKind::kOutput, 0, {source.read.get(), sink.get()});
  CHECK(head->IsQuiet());
  // Nobody but the monitor has it open now.
  sink.Reset();
  source.read.Reset();
  WriteBytes(source.write.get(), "last words");
  source.write.Reset();
  CHECK(ExpectEnd(*head, 1).bytes == 10);
  CHECK(monitor.FdCount() == fds + 1);
  SECTION("who gets it, and the end of file") {
    const UniqueFd reader = OpenReader(monitor.path("out"));
    CHECK(ReadBytes(reader.get(), 11) == "last words");
    CHECK(monitor.FdCount() == fds);
  }
  SECTION("until the stream is closed") {
    head->StreamRef(Type::kStreamClose, 1);
    CHECK(Eventually([&] { return monitor.FdCount() == fds; }));
  }
}

TEST_CASE("A reader that is there has the end of file when it has read",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const int fds = monitor.FdCount();
  Pipe source = MakePipe();
  UniqueFd sink = MakeFifo(monitor.path("out"));
  const UniqueFd reader = OpenReader(monitor.path("out"));
  head->StreamAdd(1, StreamKind::kOutput, 0, {source.read.get(), sink.get()});
  WriteBytes(source.write.get(), "last words");
  source.write.Reset();
  CHECK(ExpectEnd(*head, 1).bytes == 10);
  sink.Reset();
  CHECK(ReadBytes(reader.get(), 11) == "last words");
  CHECK(Eventually([&] { return monitor.FdCount() == fds; }));
}

TEST_CASE("A writer that stays open holds up only its own stream's end",
          "[monitor][stream][idle]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  head->StreamAdd(1, StreamKind::kOutput, 0,
                  {source.read.get(), sink.write.get()});
  sink.write.Reset();
  head->Shell(1, 1, "sleep 100 & exit 0", 0, {{source.write.get(), 1}});
  head->Expect(Type::kOperation);
  head->Expect(Type::kExit);
  source.write.Reset();
  CHECK(head->IsQuiet());
  head->StreamRef(Type::kStreamClose, 1);
  CHECK(ReadBytes(sink.read.get(), 1).empty());
  head->Kill();
  auto next = monitor.AcceptHead();
  for (const Message& message : next->Hello()) {
    CHECK(message.type() != Type::kStream);
  }
}

TEST_CASE("Held output flows once it is started", "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  head->StreamAdd(1, StreamKind::kOutput, link::kStreamHeld,
                  {source.read.get(), sink.write.get()});
  WriteBytes(source.write.get(), "the runtime's or the container's");
  CHECK_FALSE(Ready(sink.read.get(), POLLIN, 100));
  SECTION("by its head") {}
  SECTION("by the next head") {
    head->Kill();
    head = monitor.AcceptReadyHead();
  }
  head->StreamRef(Type::kStreamStart, 1);
  CHECK(ReadBytes(sink.read.get(), 32) == "the runtime's or the container's");
  WriteBytes(source.write.get(), "more");
  CHECK(ReadBytes(sink.read.get(), 4) == "more");
}

TEST_CASE("Held output that is closed reaches nobody", "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  head->StreamAdd(1, StreamKind::kOutput, link::kStreamHeld,
                  {source.read.get(), sink.write.get()});
  sink.write.Reset();
  WriteBytes(source.write.get(), "the runtime's");
  head->StreamRef(Type::kStreamClose, 1);
  CHECK(ReadBytes(sink.read.get(), 1).empty());
}

TEST_CASE("A finished output ends, whoever else holds the pipe",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  head->StreamAdd(1, StreamKind::kOutput, link::kStreamHeld,
                  {source.read.get(), sink.write.get()});
  WriteBytes(source.write.get(), "last");
  head->StreamRef(Type::kStreamFinish, 1);
  CHECK(ReadBytes(sink.read.get(), 4) == "last");
  CHECK(ExpectEnd(*head, 1).bytes == 4);
}

TEST_CASE("A sink that has gone loses output and ends nothing",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  head->StreamAdd(1, StreamKind::kOutput, 0,
                  {source.read.get(), sink.write.get()});
  WriteBytes(source.write.get(), "one");
  CHECK(ReadBytes(sink.read.get(), 3) == "one");
  sink.write.Reset();
  sink.read.Reset();
  const std::string rest(300'000, 'r');
  WriteBytes(source.write.get(), rest);
  source.write.Reset();
  const StreamState state = ExpectEnd(*head, 1);
  CHECK(state.bytes == 3);
  CHECK(state.lost_bytes == rest.size());
  CHECK(state.sink_error == EPIPE);
}

TEST_CASE("A stream is known by its number, and told with its end",
          "[monitor][stream][replay]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  Pipe unused = MakePipe();
  head->StreamAdd(4, StreamKind::kOutput, 0,
                  {source.read.get(), sink.write.get()});
  head->StreamAdd(4, StreamKind::kOutput, 0,
                  {source.read.get(), unused.write.get()});
  unused.write.Reset();
  CHECK(ReadBytes(unused.read.get(), 1).empty());
  WriteBytes(source.write.get(), "data");
  CHECK(ReadBytes(sink.read.get(), 4) == "data");
  head->Kill();
  auto next = monitor.AcceptHead();
  source.write.Reset();
  sink.write.Reset();
  CHECK(ReadBytes(sink.read.get(), 1).empty());
  const std::vector<Message> known = next->Hello();
  REQUIRE(known.size() == 2);
  const auto state = known[1].Body<StreamState>();
  CHECK(state.stream == 4);
  CHECK(state.ended == 1);
  CHECK(state.bytes == 4);
}

TEST_CASE("A stream with descriptors missing ends with an error",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe pipe = MakePipe();
  head->StreamAdd(1, StreamKind::kOutput, 0, {pipe.read.get()});
  CHECK(ExpectEnd(*head, 1).sink_error == EINVAL);
  head->StreamAdd(2, static_cast<StreamKind>(9), 0,
                  {pipe.read.get(), pipe.write.get()});
  CHECK(ExpectEnd(*head, 2).sink_error == EINVAL);
}

TEST_CASE("A stream at full speed does not starve the engine",
          "[monitor][stream]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const UniqueFd zero(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  const UniqueFd null_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
  head->StreamAdd(1, StreamKind::kOutput, 0, {zero.get(), null_fd.get()});
  Client client = monitor.Connect();
  for (uint32_t i = 0; i < 20; ++i) {
    const Message message = monitor.Deliver(client, *head, 2 * i + 1, "x");
    head->Respond(message.header.token, "y");
    CHECK(client.Receive().payload == "y");
  }
  head->StreamRef(Type::kStreamClose, 1);
  CHECK(head->IsQuiet());
}

}  // namespace
}  // namespace hydra::monitor
