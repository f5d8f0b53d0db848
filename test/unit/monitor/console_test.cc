// Terminals, with real ptys.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::StreamKind;
using link::StreamState;
using link::Type;

// The runtime's part: a pty, whose master goes over the console socket.
struct Pty {
  Pty() : master(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    REQUIRE(grantpt(master.get()) == 0);
    REQUIRE(unlockpt(master.get()) == 0);
    slave = ptsname(master.get());
  }
  // Raw, so that what goes in comes out.
  UniqueFd OpenSlave() const {
    UniqueFd fd(open(slave.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    REQUIRE(fd.valid());
    termios mode;
    REQUIRE(tcgetattr(fd.get(), &mode) == 0);
    cfmakeraw(&mode);
    REQUIRE(tcsetattr(fd.get(), TCSANOW, &mode) == 0);
    return fd;
  }
  UniqueFd master;
  std::string slave;
};

struct ConsoleFixture : MonitorFixture {
  ConsoleFixture() : head(AcceptReadyHead()) {
    listener.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, path("pty.sock").c_str());
    REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof(address)) == 0);
    REQUIRE(listen(listener.get(), 8) == 0);
    REQUIRE(mkfifo(path("in").c_str(), 0600) == 0);
    REQUIRE(mkfifo(path("out").c_str(), 0600) == 0);
  }

  // Stream 1, with input and output.
  void Add() {
    const UniqueFd sink(
        open(path("out").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    const UniqueFd source(
        open(path("in").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    const UniqueFd held(open(path("in").c_str(), O_WRONLY | O_CLOEXEC));
    out.Reset(open(path("out").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    in.Reset(open(path("in").c_str(), O_WRONLY | O_CLOEXEC));
    head->StreamAdd(
        1, StreamKind::kConsole,
        link::kStreamHasOutput | link::kStreamHasInput | link::kStreamHoldsFifo,
        {listener.get(), sink.get(), source.get(), held.get()});
    listener.Reset();
    // Until the monitor has its own.
    CHECK(head->IsQuiet());
  }

  void SendMaster() {
    const UniqueFd connection = ConnectTo(path("pty.sock"));
    SendFds(connection.get(), {pty.master.get()});
    pty.master.Reset();
  }

  StreamState ExpectEnd() {
    const auto state = head->Expect(Type::kStream).Body<StreamState>();
    CHECK(state.stream == 1);
    CHECK(state.ended == 1);
    CHECK(state.has_console == 1);
    return state;
  }

  std::shared_ptr<FakeHead> head;
  UniqueFd listener;
  Pty pty;
  UniqueFd in;
  UniqueFd out;
};

TEST_CASE_METHOD(ConsoleFixture, "A terminal is copied both ways",
                 "[monitor][console]") {
  const UniqueFd slave = pty.OpenSlave();
  Add();
  SendMaster();
  WriteBytes(slave.get(), "prompt");
  CHECK(ReadBytes(out.get(), 6) == "prompt");
  WriteBytes(in.get(), "typed");
  CHECK(ReadBytes(slave.get(), 5) == "typed");
}

TEST_CASE_METHOD(ConsoleFixture,
                 "A terminal may be closed and opened again, at no cost",
                 "[monitor][console][idle]") {
  {
    const UniqueFd slave = pty.OpenSlave();
    Add();
    SendMaster();
    WriteBytes(slave.get(), "one");
    CHECK(ReadBytes(out.get(), 3) == "one");
  }
  CHECK(head->IsQuiet(500));
  CHECK(ComesToRest());
  for (int i = 0; i < 3; ++i) {
    const UniqueFd slave = pty.OpenSlave();
    WriteBytes(slave.get(), "more");
    CHECK(ReadBytes(out.get(), 4) == "more");
    WriteBytes(in.get(), "typed");
    CHECK(ReadBytes(slave.get(), 5) == "typed");
  }
}

TEST_CASE_METHOD(ConsoleFixture, "A finished terminal gives all it has",
                 "[monitor][console]") {
  const std::string text(3000, 't');
  {
    const UniqueFd slave = pty.OpenSlave();
    Add();
    SendMaster();
    WriteBytes(slave.get(), text);
  }
  head->StreamRef(Type::kStreamFinish, 1);
  CHECK(ReadBytes(out.get(), text.size() + 1) == text);
  const StreamState state = ExpectEnd();
  CHECK(state.bytes == text.size());
  CHECK(state.lost_bytes == 0);
}

TEST_CASE_METHOD(ConsoleFixture,
                 "A finished terminal that something else holds ends as well",
                 "[monitor][console]") {
  const UniqueFd slave = pty.OpenSlave();
  Add();
  SendMaster();
  WriteBytes(slave.get(), "last");
  head->StreamRef(Type::kStreamFinish, 1);
  CHECK(ReadBytes(out.get(), 5) == "last");
  CHECK(ExpectEnd().bytes == 4);
}

TEST_CASE_METHOD(ConsoleFixture,
                 "A finished terminal waits for its sink to be read",
                 "[monitor][console][idle]") {
  const UniqueFd slave = pty.OpenSlave();
  Add();
  SendMaster();
  fcntl(slave.get(), F_SETFL, O_NONBLOCK);
  std::string written;
  REQUIRE(Eventually([&] {
    const std::string block(512, static_cast<char>('a' + written.size() % 11));
    const ssize_t n = write(slave.get(), block.data(), block.size());
    if (n > 0) written += block.substr(0, static_cast<size_t>(n));
    return n < 0 && !Ready(slave.get(), POLLOUT, 100);
  }));
  CHECK(written.size() > 65536);
  head->StreamRef(Type::kStreamFinish, 1);
  CHECK(head->IsQuiet(300));
  CHECK(ComesToRest());
  CHECK(ReadBytes(out.get(), written.size() + 1) == written);
  CHECK(ExpectEnd().bytes == written.size());
}

TEST_CASE_METHOD(ConsoleFixture, "The end of a terminal's input is no hang-up",
                 "[monitor][console]") {
  const UniqueFd slave = pty.OpenSlave();
  Add();
  SendMaster();
  WriteBytes(in.get(), "typed");
  CHECK(ReadBytes(slave.get(), 5) == "typed");
  in.Reset();
  head->StreamRef(Type::kStreamCloseStdin, 1);
  CHECK(head->IsQuiet(100));
  CHECK_FALSE(Ready(slave.get(), POLLIN | POLLHUP, 50));
  WriteBytes(slave.get(), "still here");
  CHECK(ReadBytes(out.get(), 10) == "still here");
}

TEST_CASE_METHOD(ConsoleFixture, "Input that is not read waits",
                 "[monitor][console][idle]") {
  const UniqueFd slave = pty.OpenSlave();
  Add();
  SendMaster();
  const std::string typed(40'000, 'k');
  WriteBytes(in.get(), typed);
  CHECK(head->IsQuiet(300));
  CHECK(ComesToRest());
  CHECK(ReadBytes(slave.get(), typed.size()) == typed);
}

TEST_CASE_METHOD(ConsoleFixture, "A terminal is resized, also before it comes",
                 "[monitor][console]") {
  const UniqueFd slave = pty.OpenSlave();
  auto size_is = [&](int rows, int columns) {
    return Eventually([&] {
      winsize size = {};
      ioctl(slave.get(), TIOCGWINSZ, &size);
      return size.ws_row == rows && size.ws_col == columns;
    });
  };
  Add();
  head->Send(Type::kStreamResize, 0, 0, link::StreamResize{1, 30, 90, 0});
  CHECK(head->IsQuiet());
  SendMaster();
  CHECK(size_is(30, 90));
  head->Send(Type::kStreamResize, 0, 0, link::StreamResize{1, 40, 120, 0});
  CHECK(size_is(40, 120));
}

TEST_CASE_METHOD(ConsoleFixture, "Only a terminal is taken for one",
                 "[monitor][console]") {
  const UniqueFd slave = pty.OpenSlave();
  Add();
  const Pipe pipe = MakePipe();
  for (const std::vector<int>& wrong :
       {std::vector<int>{}, std::vector<int>{pipe.read.get()},
        std::vector<int>{pty.master.get(), pty.master.get()}}) {
    const UniqueFd connection = ConnectTo(path("pty.sock"));
    SendFds(connection.get(), wrong);
    CHECK(ReadBytes(connection.get(), 1).empty());
  }
  SendMaster();
  WriteBytes(slave.get(), "ok");
  CHECK(ReadBytes(out.get(), 2) == "ok");
}

TEST_CASE_METHOD(ConsoleFixture, "A terminal that never came can be finished",
                 "[monitor][console]") {
  Add();
  head->StreamRef(Type::kStreamFinish, 1);
  const auto state = head->Expect(Type::kStream).Body<StreamState>();
  CHECK(state.ended == 1);
  CHECK(state.has_console == 0);
  CHECK(ReadBytes(out.get(), 1).empty());
}

TEST_CASE_METHOD(ConsoleFixture, "A terminal without output is drained",
                 "[monitor][console]") {
  const UniqueFd slave = pty.OpenSlave();
  head->StreamAdd(1, StreamKind::kConsole, 0, {listener.get()});
  listener.Reset();
  SendMaster();
  WriteBytes(slave.get(), std::string(200'000, 'o'));
  head->StreamRef(Type::kStreamFinish, 1);
  const StreamState state = ExpectEnd();
  // Nobody wants them.
  CHECK(state.bytes == 200'000);
  CHECK(state.lost_bytes == 0);
}

}  // namespace
}  // namespace hydra::monitor
