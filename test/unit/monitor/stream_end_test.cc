// Streams to and from files, and standard input: what cannot be spliced or
// watched, and how they end.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "test/unit/monitor/monitor_fixture.h"
#include "test/unit/monitor/spool_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::StreamKind;
using link::StreamState;
using link::Type;

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

TEST_CASE("Two streams may share a file", "[monitor][stream][file]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe out = MakePipe();
  Pipe err = MakePipe();
  const std::string path = monitor.path("file");
  UniqueFd file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  head->StreamAdd(1, StreamKind::kOutput, link::kStreamSinkIsFile,
                  {out.read.get(), file.get()});
  head->StreamAdd(2, StreamKind::kOutput, link::kStreamSinkIsFile,
                  {err.read.get(), file.get()});
  const std::string line = std::string(99, 'x') + "\n";
  for (int i = 0; i < 1000; ++i) {
    WriteBytes(out.write.get(), "o" + line);
    WriteBytes(err.write.get(), "e" + line);
  }
  out.write.Reset();
  err.write.Reset();
  for (int i = 0; i < 2; ++i) {
    const auto state = head->Expect(Type::kStream).Body<StreamState>();
    CHECK(state.bytes == 101'000);
  }
  CHECK(std::filesystem::file_size(path) == 202'000);
}

TEST_CASE("A full disk loses output, counts it, and ends nothing",
          "[monitor][stream][file]") {
  MonitorFixture monitor;
  const std::string mount_point = monitor.path("small");
  std::filesystem::create_directory(mount_point);
  if (mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=64k") < 0) {
    WARN("skipped: mount needs root");
    return;
  }
  {
    auto head = monitor.AcceptReadyHead();
    Pipe source = MakePipe();
    UniqueFd file(open((mount_point + "/file").c_str(),
                       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    head->StreamAdd(1, StreamKind::kOutput, link::kStreamSinkIsFile,
                    {source.read.get(), file.get()});
    file.Reset();
    const std::string data(200'000, 'd');
    WriteBytes(source.write.get(), data);
    source.write.Reset();
    const StreamState state = ExpectEnd(*head, 1);
    CHECK(state.bytes == 65536);
    CHECK(state.bytes + state.lost_bytes == data.size());
    CHECK(state.sink_error == ENOSPC);
    head->StreamRef(Type::kStreamClose, 1);
  }
  CHECK(umount2(mount_point.c_str(), MNT_DETACH) == 0);
}

TEST_CASE("What cannot be watched is copied too", "[monitor][stream][file]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  std::string data(3 << 20, 'f');
  data.back() = 'g';
  std::ofstream(monitor.path("in")) << data;
  SECTION("a regular file to a pipe, slowly read") {
    const UniqueFd file(open(monitor.path("in").c_str(), O_RDONLY | O_CLOEXEC));
    Pipe sink = MakePipe();
    head->StreamAdd(1, StreamKind::kInput, 0, {file.get(), sink.write.get()});
    sink.write.Reset();
    CHECK(head->IsQuiet(100));
    CHECK(head->IsQuiet(300));
    CHECK(monitor.ComesToRest());
    CHECK(ReadBytes(sink.read.get(), data.size() + 1) == data);
    CHECK(ExpectEnd(*head, 1).bytes == data.size());
  }
  SECTION("a pipe to /dev/null") {
    Pipe source = MakePipe();
    const UniqueFd null_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    head->StreamAdd(1, StreamKind::kOutput, 0,
                    {source.read.get(), null_fd.get()});
    WriteBytes(source.write.get(), data);
    source.write.Reset();
    CHECK(ExpectEnd(*head, 1).bytes == data.size());
  }
  SECTION("a regular file to a regular file") {
    const UniqueFd file(open(monitor.path("in").c_str(), O_RDONLY | O_CLOEXEC));
    const UniqueFd sink(open(monitor.path("copy").c_str(),
                             O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    head->StreamAdd(1, StreamKind::kOutput, 0, {file.get(), sink.get()});
    CHECK(ExpectEnd(*head, 1).bytes == data.size());
    CHECK(std::filesystem::file_size(monitor.path("copy")) == data.size());
  }
}

// splice(2) says EAGAIN for a full sink before it says 0 for a source at its
// end, and the end of a pipe wakes whoever waits for more, again and again.
TEST_CASE_METHOD(SpoolStreamFixture,
                 "An end behind a sink that is just full costs no turns",
                 "[monitor][stream][idle]") {
  const bool spools = GENERATE(true, false);
  CAPTURE(spools);
  Add(spools ? 1 << 20 : 0);
  // A pipe has so many places, be each of them for one byte.
  const size_t places = 16;
  for (size_t i = 1; i <= places; ++i) {
    REQUIRE(write(source().get(), "x", 1) == 1);
    REQUIRE(Eventually([&] { return State().bytes == i; }));
  }
  source().Reset();
  CHECK(ComesToRest());
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), places) == std::string(places, 'x'));
  CHECK(ExpectEnd().bytes == places);
}

TEST_CASE("Stdin ends when it is closed and its clients have gone",
          "[monitor][stream][stdin]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  const std::string path = monitor.path("in");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  Pipe sink = MakePipe();
  {
    const UniqueFd source = OpenReader(path);
    const UniqueFd held(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    head->StreamAdd(1, StreamKind::kInput, link::kStreamHoldsFifo,
                    {source.get(), sink.write.get(), held.get()});
    sink.write.Reset();
    CHECK(head->IsQuiet());
  }
  for (const char* text : {"one", "two"}) {
    // A client that comes and goes is no end of file.
    const UniqueFd client(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    WriteBytes(client.get(), text);
    CHECK(ReadBytes(sink.read.get(), 3) == text);
  }
  CHECK_FALSE(Ready(sink.read.get(), POLLIN | POLLHUP, 50));
  UniqueFd client(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  head->StreamRef(Type::kStreamCloseStdin, 1);
  CHECK(head->IsQuiet());
  WriteBytes(client.get(), "last");
  client.Reset();
  CHECK(ReadBytes(sink.read.get(), 100) == "last");
  CHECK(ExpectEnd(*head, 1).bytes == 10);
}

TEST_CASE("Stdin of a program that has gone ends quietly",
          "[monitor][stream][stdin]") {
  MonitorFixture monitor;
  auto head = monitor.AcceptReadyHead();
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  head->StreamAdd(1, StreamKind::kInput, 0,
                  {source.read.get(), sink.write.get()});
  sink.read.Reset();
  sink.write.Reset();
  WriteBytes(source.write.get(), "for nobody");
  ExpectEnd(*head, 1);
  Client client = monitor.Connect();
  monitor.Deliver(client, *head, 1, "alive");
}

}  // namespace
}  // namespace hydra::monitor
