// Outputs that go to a journal, with a sink or without one, and inputs that
// come in pieces from the head.

#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>

#include "shim/io/journal_reader.h"
#include "test/unit/monitor/spool_fixture.h"

namespace hydra::monitor {
namespace {

using link::JournalTag;
using link::Message;
using link::StreamKind;
using link::StreamState;
using link::Type;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kJournal = 7;

class JournalStreamTest : protected SpoolStreamFixture {
 protected:
  void OpenJournal(uint64_t max_bytes = 64 * kMiB) {
    head->Send(Type::kJournalOpen, 0, 0,
               link::JournalOpen{kJournal, max_bytes}, path("journal"));
  }
  void Attach(uint64_t journal = kJournal,
              JournalTag tag = JournalTag::kStdout) {
    head->Send(
        Type::kStreamJournal, 0, 0,
        link::StreamJournal{kStream, journal, static_cast<uint32_t>(tag), 0});
    (void)State();  // The monitor has it.
  }
  // Without a sink.
  void AddBare() {
    Pipe pipe = MakePipe();
    head->StreamAdd(kStream, StreamKind::kOutput, link::kStreamNoSink,
                    {pipe.read.get()});
    source() = std::move(pipe.write);
    (void)State();
  }
  std::string Logged() const {
    const auto batch = JournalReader(path("journal")).Read(0, 1 << 30);
    REQUIRE(batch.ok());
    std::string text;
    for (const JournalEntry& entry : batch->entries) text += entry.data;
    return text;
  }
  bool AwaitLogged(const std::string& text) const {
    return Eventually([&] { return Logged() == text; });
  }
  int WriteInput(uint32_t step, std::string_view data) {
    head->Send(Type::kStreamWrite, kToken, step, link::StreamRef{kStream},
               data);
    const Message message = head->Expect(Type::kOperation);
    CHECK(message.header.step == step);
    return message.Body<link::Operation>().error;
  }

  static constexpr uint64_t kToken = link::kInternalToken | 1;
};

TEST_CASE_METHOD(JournalStreamTest, "Output without a sink goes to the journal",
                 "[monitor][journal]") {
  OpenJournal();
  AddBare();
  Attach();
  const std::string sent = NumberedLines(0, 4 * kMiB / 16);
  WriteBytes(source().get(), sent);
  source().Reset();
  const StreamState end = ExpectEnd();
  CHECK(end.bytes == sent.size());
  CHECK(end.lost_bytes == 0);
  CHECK(Logged() == sent);
}

TEST_CASE_METHOD(JournalStreamTest, "Output that nobody wants is no loss",
                 "[monitor][journal]") {
  AddBare();
  WriteBytes(source().get(), std::string(500'000, 'x'));
  source().Reset();
  const StreamState end = ExpectEnd();
  CHECK(end.bytes == 500'000);
  CHECK(end.lost_bytes == 0);
}

TEST_CASE_METHOD(JournalStreamTest,
                 "A journal comes to a stream that runs, and leaves it",
                 "[monitor][journal]") {
  Add(64 * kMiB);
  const UniqueFd reader = OpenReader();
  WriteBytes(source().get(), "before ");
  CHECK(ReadBytes(reader.get(), 7) == "before ");
  OpenJournal();
  Attach();
  WriteBytes(source().get(), "while ");
  CHECK(ReadBytes(reader.get(), 6) == "while ");
  CHECK(AwaitLogged("while "));
  SECTION("with a detached stream") { Attach(0); }
  SECTION("with its own end") {
    head->Send(Type::kJournalClose, 0, 0, link::JournalRef{kJournal});
    (void)State();
  }
  WriteBytes(source().get(), "after");
  CHECK(ReadBytes(reader.get(), 5) == "after");
  CHECK(Logged() == "while ");
}

TEST_CASE_METHOD(JournalStreamTest, "What is spooled is logged when it comes",
                 "[monitor][journal][spool]") {
  Add(64 * kMiB);
  OpenJournal();
  Attach();
  const std::string sent = NumberedLines(0, 4 * kMiB / 16);
  Write(sent);
  REQUIRE(WaitForSpooling(true));
  // Nobody has read a byte of the FIFO.
  CHECK(AwaitLogged(sent));
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
  CHECK(Logged() == sent);
}

TEST_CASE_METHOD(JournalStreamTest, "A client that may leave is not waited for",
                 "[monitor][journal][spool]") {
  REQUIRE(mkfifo(path("out").c_str(), 0600) == 0);
  UniqueFd reader = OpenReader();
  Pipe pipe = MakePipe();
  const UniqueFd sink(open(path("out").c_str(), O_PATH | O_CLOEXEC));
  AddStream(StreamKind::kOutput, link::kStreamSinkMayLeave, 64 * kMiB,
            link::SpoolPolicy::kBlock, {pipe.read.get(), sink.get()});
  source() = std::move(pipe.write);
  OpenJournal();
  Attach();
  WriteBytes(source().get(), "one");
  CHECK(ReadBytes(reader.get(), 3) == "one");
  std::string sent = NumberedLines(0, 2 * kMiB / 16);
  SECTION("with nothing under way") {}
  SECTION("though much is kept for it") {
    Write(sent);
    REQUIRE(WaitForSpooling(true));
  }
  reader.Reset();
  sent += "two";
  Write(sent);
  source().Reset();
  const StreamState end = ExpectEnd();
  CHECK(end.lost_bytes == 0);
  CHECK(end.sink_error == 0);
  const std::string logged = Logged();
  CHECK(logged.substr(logged.size() - sent.size()) == sent);
  CHECK(logged.starts_with("one"));
}

TEST_CASE_METHOD(JournalStreamTest, "A client that never came is not missed",
                 "[monitor][journal]") {
  REQUIRE(mkfifo(path("out").c_str(), 0600) == 0);
  Pipe pipe = MakePipe();
  const UniqueFd sink(open(path("out").c_str(), O_PATH | O_CLOEXEC));
  head->StreamAdd(kStream, StreamKind::kOutput, link::kStreamSinkMayLeave,
                  {pipe.read.get(), sink.get()});
  WriteBytes(pipe.write.get(), "x");
  pipe.write.Reset();
  const StreamState end = ExpectEnd();
  CHECK(end.bytes == 1);
  CHECK(end.sink_error == 0);
}

TEST_CASE_METHOD(JournalStreamTest, "A full disk costs the journal alone",
                 "[monitor][journal]") {
  // Made of a file, where a directory would have to be.
  const UniqueFd file(open(path("journal").c_str(), O_CREAT | O_RDWR, 0600));
  Add(64 * kMiB);
  OpenJournal();
  Attach();
  const UniqueFd reader = OpenReader();
  WriteBytes(source().get(), "through");
  CHECK(ReadBytes(reader.get(), 7) == "through");
  head->Send(Type::kInspect, kToken, 1);
  const auto status = head->Expect(Type::kStatus).Body<link::Status>();
  CHECK(status.journal_bytes == 0);
  CHECK(status.journal_lost_bytes == 7);
  CHECK(status.journal_error == ENOTDIR);
}

TEST_CASE_METHOD(JournalStreamTest, "A journal goes over an upgrade",
                 "[monitor][journal][upgrade]") {
  OpenJournal();
  AddBare();
  Attach();
  WriteBytes(source().get(), "one ");
  CHECK(AwaitLogged("one "));
  head->Upgrade(kToken, 1, {.monitor = HYDRA_MONITOR_NEXT});
  head = AcceptHead();
  head->Hello();
  WriteBytes(source().get(), "two");
  CHECK(AwaitLogged("one two"));
  head->Upgrade(kToken, 2, {.monitor = HYDRA_MONITOR});
  head = AcceptHead();
  head->Hello();
  WriteBytes(source().get(), " three");
  CHECK(AwaitLogged("one two three"));
}

TEST_CASE_METHOD(JournalStreamTest, "Input comes in pieces, each once",
                 "[monitor][stream][stdin]") {
  Pipe pipe = MakePipe();
  head->StreamAdd(kStream, StreamKind::kInput, link::kStreamNoSource,
                  {pipe.write.get()});
  pipe.write.Reset();
  CHECK(WriteInput(1, "one ") == 0);
  // As a head's successor would say it.
  CHECK(WriteInput(1, "one ") == 0);
  CHECK(WriteInput(2, "two") == 0);
  CHECK(ReadBytes(pipe.read.get(), 7) == "one two");
  SECTION("and more than the process reads is refused, whole") {
    uint32_t step = 3;
    std::string sent;
    const std::string piece(100'000, 'x');
    while (WriteInput(step++, piece) == 0) sent += piece;
    CHECK(sent.size() > 256 * 1024);
    CHECK(sent.size() < 1024 * 1024);
    head->StreamRef(Type::kStreamCloseStdin, kStream);
    // All that was taken comes before the end.
    CHECK(ReadBytes(pipe.read.get(), sent.size() + 1) == sent);
    CHECK(ExpectEnd().bytes == sent.size() + 7);
    CHECK(WriteInput(step++, "late") == EPIPE);
  }
  SECTION("and its end when nothing waits") {
    head->StreamRef(Type::kStreamCloseStdin, kStream);
    ExpectEnd();
    CHECK(ReadBytes(pipe.read.get(), 1).empty());
  }
  SECTION("and a process that has gone takes none") {
    pipe.read.Reset();
    head->Send(Type::kStreamWrite, kToken, 3, link::StreamRef{kStream}, "x");
    ExpectEnd();
    CHECK(head->Expect(Type::kOperation).Body<link::Operation>().error == 0);
    CHECK(WriteInput(4, "x") == EPIPE);
  }
  SECTION("and a stream that is not there is told") {
    head->Send(Type::kStreamWrite, kToken, 99, link::StreamRef{12345}, "x");
    CHECK(head->Expect(Type::kOperation).Body<link::Operation>().error ==
          ENOENT);
  }
}

TEST_CASE_METHOD(JournalStreamTest, "Input may come beside a client's",
                 "[monitor][stream][stdin]") {
  REQUIRE(mkfifo(path("in").c_str(), 0600) == 0);
  Pipe pipe = MakePipe();
  const UniqueFd source(open(path("in").c_str(), O_RDONLY | O_NONBLOCK));
  const UniqueFd held(open(path("in").c_str(), O_WRONLY | O_CLOEXEC));
  head->StreamAdd(kStream, StreamKind::kInput, link::kStreamHoldsFifo,
                  {source.get(), pipe.write.get(), held.get()});
  const UniqueFd client(open(path("in").c_str(), O_WRONLY | O_CLOEXEC));
  WriteBytes(client.get(), "client ");
  CHECK(ReadBytes(pipe.read.get(), 7) == "client ");
  CHECK(WriteInput(1, "head ") == 0);
  CHECK(ReadBytes(pipe.read.get(), 5) == "head ");
  WriteBytes(client.get(), "again");
  CHECK(ReadBytes(pipe.read.get(), 5) == "again");
}

}  // namespace
}  // namespace hydra::monitor
