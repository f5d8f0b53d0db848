// The state that a successor takes over: its format, and each part out and in.

#include "shim/monitor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "shim/monitor/connection.h"
#include "shim/monitor/console.h"
#include "shim/monitor/copy.h"
#include "shim/monitor/exit_file.h"
#include "shim/monitor/frame.h"
#include "shim/monitor/head_process.h"
#include "shim/monitor/operations.h"
#include "shim/monitor/processes.h"
#include "shim/monitor/server.h"
#include "shim/monitor/stream.h"
#include "shim/monitor/upgrade.h"

namespace hydra::monitor {
namespace {

using Mode = StateReader::Mode;
constexpr auto kSection = StateSection::kTestOnly;

template <typename T>
std::string SaveAlone(const T& part) {
  StateWriter writer;
  writer.BeginSection(kSection);
  part.Save(&writer);
  writer.EndRecord();
  return writer.Finish();
}

// What is saved after it was loaded is what was saved before. A part that
// closes descriptors must not be there twice, so the first is left behind,
// where the leak checker finds it.
template <typename T>
void CheckRoundTrip(T* original, T* fresh) {
  static auto* left_behind = new std::vector<const void*>;
  left_behind->push_back(original);
  const std::string before = SaveAlone(*original);
  StateReader reader(before, Mode::kTake);
  REQUIRE(reader.BeginSection(kSection));
  fresh->Load(&reader);
  CHECK(reader.error() == 0);
  CHECK((SaveAlone(*fresh) == before));
}

int Load(std::string_view state, Mode mode = Mode::kTrial) {
  Poller poller;
  HeadProcess head(&poller, {"head"}, nullptr);
  Server server(&poller, &head, UniqueFd(), "");
  StateReader reader(state, mode);
  if (reader.BeginSection(StateSection::kServer)) server.Load(&reader);
  return reader.error();
}

std::string SmallState() {
  StateWriter writer;
  writer.BeginSection(kSection);
  writer.Number(42);
  writer.Bytes("text");
  writer.BeginList();
  for (uint64_t i = 0; i < 3; ++i) {
    writer.BeginRecord();
    writer.Number(i);
    writer.Signed(-1);
    writer.EndRecord();
  }
  writer.EndList();
  writer.EndRecord();
  return writer.Finish();
}

TEST_CASE("State is read as it was written", "[monitor][state]") {
  const std::string state = SmallState();
  StateReader reader(state, Mode::kTrial);
  REQUIRE(reader.error() == 0);
  CHECK(reader.version() == kStateVersion);
  CHECK(reader.oldest() == 1);
  CHECK_FALSE(reader.BeginSection(StateSection::kServer));
  REQUIRE(reader.BeginSection(kSection));
  CHECK(reader.Number() == 42);
  CHECK(reader.Bytes() == "text");
  reader.BeginList();
  uint64_t count = 0;
  while (reader.BeginRecord()) {
    CHECK(reader.Number() == count++);
    CHECK(reader.Signed() == -1);
    reader.EndRecord();
  }
  reader.EndList();
  CHECK(count == 3);
  CHECK(reader.error() == 0);
}

TEST_CASE("A field that is not there is zero, one too many is passed over",
          "[monitor][state]") {
  const std::string state = SmallState();
  StateReader reader(state, Mode::kTrial);
  REQUIRE(reader.BeginSection(kSection));
  reader.Number();
  reader.Bytes();
  reader.BeginList();
  // Less than there is.
  REQUIRE(reader.BeginRecord());
  reader.EndRecord();
  // More than there is.
  REQUIRE(reader.BeginRecord());
  CHECK(reader.Number() == 1);
  CHECK(reader.Signed() == -1);
  CHECK(reader.Number() == 0);
  CHECK(reader.Bytes().empty());
  CHECK_FALSE(reader.Fd().valid());
  CHECK(reader.Struct<link::Operation>().pid == 0);
  reader.BeginList();
  CHECK_FALSE(reader.BeginRecord());
  reader.EndList();
  reader.EndRecord();
  REQUIRE(reader.BeginRecord());
  CHECK(reader.Number() == 2);
  CHECK(reader.error() == 0);
}

TEST_CASE("A state that is cut short or damaged is refused",
          "[monitor][state]") {
  const std::string state = SmallState();
  for (size_t size = 0; size < state.size(); ++size) {
    CHECK(StateReader(state.substr(0, size), Mode::kTrial).error() == EBADMSG);
  }
  for (size_t i = 0; i < state.size(); ++i) {
    std::string damaged = state;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    CHECK(StateReader(damaged, Mode::kTrial).error() != 0);
  }
  CHECK(StateReader(std::string(4096, 'x'), Mode::kTrial).error() == EBADMSG);
}

TEST_CASE("A state for later versions only is refused as such",
          "[monitor][state]") {
  StateWriter writer;
  writer.NeedsVersion(kStateVersion + 1);
  writer.NeedsVersion(1);
  const std::string state = writer.Finish();
  StateReader reader(state, Mode::kTrial);
  CHECK(reader.error() == ENOTSUP);
  CHECK(reader.oldest() == kStateVersion + 1);
}

TEST_CASE("A descriptor belongs to one part", "[monitor][state]") {
  const UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  StateWriter writer;
  writer.BeginSection(kSection);
  writer.Fd(UniqueFd());
  writer.Fd(fd);
  writer.Fd(fd);
  writer.EndRecord();
  CHECK(writer.fds().size() == 2);
  const std::string state = writer.Finish();
  StateReader reader(state, Mode::kTrial);
  REQUIRE(reader.BeginSection(kSection));
  CHECK_FALSE(reader.Fd().valid());
  CHECK_FALSE(reader.Fd().valid());
  CHECK(reader.fds() == std::vector<int>{fd.get()});
  CHECK(reader.error() == 0);
  reader.Fd();
  CHECK(reader.error() == EBADMSG);
}

TEST_CASE("A state file holds what was written", "[monitor][state]") {
  const std::string state = SmallState();
  const UniqueFd file = MakeStateFile(state);
  REQUIRE(file.valid());
  std::string read;
  REQUIRE(ReadStateFile(file.get(), &read) == 0);
  CHECK((read == state));
  CHECK(ReadStateFile(-1, &read) == EBADF);
}

TEST_CASE("A frame goes on where it was interrupted, at every byte",
          "[monitor][state]") {
  std::string frame("\0\0\0\x05\0\0\0\x07\x01\0hello", 15);
  for (size_t cut = 0; cut < frame.size(); ++cut) {
    CAPTURE(cut);
    FrameReader reader;
    Frame whole;
    std::string_view first = std::string_view(frame).substr(0, cut);
    REQUIRE_FALSE(reader.Next(&first, &whole));
    FrameReader next;
    CheckRoundTrip(&reader, &next);
    std::string_view rest = std::string_view(frame).substr(cut);
    REQUIRE(next.Next(&rest, &whole));
    CHECK(whole.payload == "hello");
    CHECK(whole.stream_id == 7);
  }
}

TEST_CASE("Operations, processes and the head come through",
          "[monitor][state]") {
  link::Writer told;
  Processes processes(nullptr);
  processes.Claim({5, getpid() + 1'000'000, 0}, &told);
  processes.KeepUnclaimed(77, 256, 99);
  Processes more_processes(nullptr);
  CheckRoundTrip(&processes, &more_processes);
  CHECK(more_processes.unclaimed() == 1);

  Operations operations(&processes, nullptr);
  link::Message message;
  message.header.token = 3;
  message.header.step = 4;
  CHECK(operations.Begin(message, link::OperationKind::kUpgrade, &told));
  message.header.step = 5;
  CHECK(operations.Begin(message, link::OperationKind::kUpgrade, &told));
  operations.Finish(3, 5, ENOEXEC, 17, "why", &told);
  Operations more_operations(&processes, nullptr);
  CheckRoundTrip(&operations, &more_operations);
  CHECK_FALSE(
      more_operations.Begin(message, link::OperationKind::kUpgrade, &told));

  Poller poller;
  auto* head = new HeadProcess(&poller, {"head"}, nullptr);
  HeadProcess next_head(&poller, {"head"}, nullptr);
  CheckRoundTrip(head, &next_head);
  CHECK(next_head.state() == HeadState::kDown);
}

TEST_CASE("Connections and copies come through", "[monitor][state]") {
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                     pair) == 0);
  const UniqueFd peer(pair[1]);
  Poller poller;
  REQUIRE(poller.Open() == 0);
  auto* connection = new Connection(&poller, 9, UniqueFd(pair[0]));
  connection->last_stream_id = 11;
  // More than the socket takes.
  REQUIRE(connection->Send(11, std::string(2 << 20, 'x')));
  REQUIRE_FALSE(connection->sent_all());
  Connection next(&poller, 0, UniqueFd());
  CheckRoundTrip(connection, &next);
  CHECK(next.id() == 9);
  CHECK(next.last_stream_id == 11);
  CHECK_FALSE(next.sent_all());
  CHECK(next.Resume() == 0);

  int pipe_ends[2];
  REQUIRE(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const UniqueFd read_end(pipe_ends[0]);
  const UniqueFd write_end(pipe_ends[1]);
  Copy copy;
  Copy::Options options;
  options.sink_is_file = true;
  options.ends_with_sink = true;
  copy.Start(&poller, {EventKind::kStreamOutput, 1}, read_end.get(), -1,
             options);
  REQUIRE(write(write_end.get(), "12345", 5) == 5);
  CHECK(copy.Run() == Copy::Result::kWaiting);
  CHECK(copy.lost_bytes() == 5);
  Copy next_copy;
  CheckRoundTrip(&copy, &next_copy);
  CHECK(next_copy.lost_bytes() == 5);
  copy.Stop();
}

TEST_CASE("A server's state must fit together", "[monitor][state]") {
  // A request of a connection that is not there.
  StateWriter writer;
  writer.BeginSection(StateSection::kServer);
  writer.Number(0);
  writer.Signed(kNever);
  writer.Number(1);
  writer.Number(2);
  writer.BeginList();
  writer.EndList();
  writer.BeginList();
  writer.BeginRecord();
  writer.Number(1);
  link::Request request = {};
  request.connection = 7;
  writer.Struct(request);
  writer.Bytes("payload");
  writer.EndRecord();
  writer.EndList();
  writer.EndRecord();
  CHECK(Load(writer.Finish()) == EBADMSG);
  CHECK(Load(SmallState()) == 0);
}

TEST_CASE("An upgrade that makes no sense has failed", "[monitor][state]") {
  link::Message message;
  const Upgrade upgrade(message, {"/monitor", "/head"});
  CHECK(upgrade.phase() == Upgrade::Phase::kFailed);
  CHECK(upgrade.error() == EINVAL);
}

}  // namespace
}  // namespace hydra::monitor
