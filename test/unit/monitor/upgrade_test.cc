// A monitor that executes another version of itself: nothing is lost; and one
// that cannot, and goes on as it was.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "shim/monitor/exit_file.h"
#include "test/unit/monitor/monitor_fixture.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Operation;
using link::Type;

constexpr uint64_t kToken = link::kInternalToken | 1;

struct Outcome {
  Operation operation = {};
  std::vector<std::string> texts;  // As link/protocol.h has them.
};

Outcome OutcomeOf(const Message& message) {
  Outcome outcome;
  outcome.operation = message.Body<Operation>();
  std::string_view tail = message.tail();
  for (size_t end; (end = tail.find('\0')) != tail.npos;
       tail.remove_prefix(end + 1)) {
    outcome.texts.emplace_back(tail.substr(0, end));
  }
  REQUIRE(outcome.texts.size() == 5);
  CHECK(outcome.operation.kind ==
        static_cast<uint32_t>(link::OperationKind::kUpgrade));
  return outcome;
}

const Message* Find(const std::vector<Message>& known, Type type,
                    uint64_t token) {
  for (const Message& message : known) {
    if (message.type() == type && message.header.token == token) {
      return &message;
    }
  }
  return nullptr;
}

class UpgradeTest : protected MonitorFixture {
 protected:
  // Upgrades, and has the next head in head_, with what it was told.
  Outcome Upgrade(const std::string& program, const std::string& head = {}) {
    head_->Upgrade(kToken, ++step_, {.monitor = program, .head = head});
    head_ = AcceptHead();
    known_ = head_->Hello();
    for (const Message& message : known_) {
      if (message.type() == Type::kOperation &&
          message.header.token == kToken && message.header.step == step_) {
        return OutcomeOf(message);
      }
    }
    FAIL("the upgrade is not known");
    return {};
  }
  // One that comes to nothing, of which this head hears.
  Outcome Refuse(const FakeHead::UpgradeWish& wish) {
    head_->Upgrade(kToken, ++step_, wish);
    const Outcome outcome = OutcomeOf(head_->Expect(Type::kOperation));
    CHECK(outcome.operation.error != 0);
    CHECK(kill(head_->pid, 0) == 0);
    return outcome;
  }
  std::string Program() const {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid()) +
                                         "/exe");
  }
  // What head_ is told after kHello, up to kSynced or the end of the link.
  std::vector<Message> HelloOrEnd() {
    std::vector<Message> known;
    head_->writer.Add(Type::kHello, 0, 0,
                      link::Hello{link::kLinkVersion, head_->pid});
    if (!head_->writer.Flush(head_->link.get())) return known;
    while (true) {
      Message message;
      switch (head_->reader.Next(head_->link.get(), &message)) {
        case link::Reader::Result::kMessage:
          if (message.type() == Type::kSynced) return known;
          known.push_back(std::move(message));
          break;
        case link::Reader::Result::kAgain:
          REQUIRE(Ready(head_->link.get(), POLLIN, kPatience));
          break;
        default:
          return known;
      }
    }
  }
  // A program of the test's own making.
  std::string Make(const char* name, std::string_view content,
                   mode_t mode = 0755) {
    std::ofstream(path(name), std::ios::binary) << content;
    chmod(path(name).c_str(), mode);
    return path(name);
  }
  link::Status Inspect(std::string* text = nullptr) {
    head_->Send(Type::kInspect, kToken, 999);
    const Message message = head_->Expect(Type::kStatus);
    CHECK(message.header.token == kToken);
    CHECK(message.header.step == 999);
    if (text != nullptr) *text = message.tail();
    return message.Body<link::Status>();
  }

  std::shared_ptr<FakeHead> head_ = AcceptReadyHead();
  uint32_t step_ = 0;
  std::vector<Message> known_;
};

TEST_CASE_METHOD(UpgradeTest, "A monitor becomes another version and back",
                 "[monitor][upgrade]") {
  const pid_t monitor = pid();
  const int fds = FdCount();
  const std::string old = Program();
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    for (const std::string program :
         {HYDRA_MONITOR_NEXT, HYDRA_MONITOR_NEXT, HYDRA_MONITOR}) {
      const pid_t head = head_->pid;
      const Outcome outcome = Upgrade(program);
      CHECK(outcome.operation.error == 0);
      CHECK(outcome.operation.paused > 0);
      CHECK(outcome.texts[4].empty());
      const bool is_next = program == HYDRA_MONITOR_NEXT;
      CHECK((outcome.texts[1].find("+next") != std::string::npos) == is_next);
      CHECK(outcome.texts[2] == "6.6.6");
      CHECK(outcome.texts[3] == "7.7.7");
      CHECK(pid() == monitor);
      CHECK(Program() == program);
      CHECK(kill(head, 0) != 0);
      CHECK(head_->pid != head);
    }
  }
  std::string text;
  const link::Status status = Inspect(&text);
  CHECK(status.upgrades == 9);
  CHECK(status.deaths == 0);
  CHECK(status.generation == 10);
  CHECK(text.substr(text.find('\0') + 1) == old + '\0');
  // What only the later version had is closed by the earlier one.
  CHECK(FdCount() == fds);
  CHECK(ComesToRest());
}

TEST_CASE_METHOD(UpgradeTest, "Frames and answers survive in pieces",
                 "[monitor][upgrade]") {
  Client client = Connect();
  const uint64_t pending = Deliver(client, *head_, 1, "wait").header.token;
  const uint64_t asked = Deliver(client, *head_, 3, "old").header.token;
  const std::string frame = MakeFrame(5, "in two pieces");
  client.SendRaw(std::string_view(frame).substr(0, 14));
  Client early = Connect();
  early.SendRaw(MakeFrame(1, "x").substr(0, 4));
  Client undecided = Connect();
  undecided.SendRaw("P");
  // The monitor has it all: its frames are read in order.
  Client last = Connect();
  const uint64_t sentinel = Deliver(last, *head_, 1, "last").header.token;

  // Said before the upgrade, and so it counts.
  head_->writer.Add(Type::kResponse, asked, 0, "answer");
  CHECK(Upgrade(HYDRA_MONITOR_NEXT).operation.error == 0);
  const Response response = client.Receive();
  CHECK(response.stream_id == 3);
  CHECK(response.payload == "answer");

  Message again = head_->Expect(Type::kRequest);
  CHECK(again.header.token == pending);
  CHECK(again.tail() == "wait");
  CHECK(again.Body<link::Request>().deaths == 0);
  again = head_->Expect(Type::kRequest);
  CHECK(again.header.token == sentinel);
  client.SendRaw(std::string_view(frame).substr(14));
  Message whole = head_->Expect(Type::kRequest);
  CHECK(whole.tail() == "in two pieces");
  CHECK(whole.header.token > sentinel);
  early.SendRaw(MakeFrame(1, "x").substr(4));
  CHECK(head_->Expect(Type::kRequest).tail() == "x");
  // It becomes gRPC's, and whoever speaks that wants more than a preface.
  undecided.SendRaw("RI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  CHECK(Ready(undecided.fd.get(), POLLIN, kPatience));

  CHECK(Upgrade(HYDRA_MONITOR).operation.error == 0);
  head_->Respond(pending, "at last");
  CHECK(client.Receive().payload == "at last");
}

TEST_CASE_METHOD(UpgradeTest, "What the old head said last still counts",
                 "[monitor][upgrade]") {
  Client client = Connect();
  const uint64_t asked = Deliver(client, *head_, 1, "r").header.token;
  const int fds = FdCount();
  head_->Upgrade(kToken, ++step_, {.monitor = HYDRA_MONITOR_NEXT});
  head_->Respond(asked, "after all");
  // And a message that never becomes whole, with a descriptor.
  link::Header header = {};
  header.length = 100;
  header.type = static_cast<uint16_t>(Type::kStore);
  header.fd_count = 1;
  const Pipe pipe = MakePipe();
  iovec iov = {&header, sizeof(header)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  const int sent = pipe.write.get();
  memcpy(CMSG_DATA(c), &sent, sizeof(sent));
  REQUIRE(sendmsg(head_->link.get(), &message, MSG_NOSIGNAL) == sizeof(header));
  head_ = AcceptReadyHead();
  CHECK(client.Receive().payload == "after all");
  CHECK(head_->IsQuiet());
  CHECK(Inspect().requests == 0);
  CHECK(FdCount() == fds);
}

TEST_CASE_METHOD(UpgradeTest, "Bytes that a client has not read yet arrive",
                 "[monitor][upgrade]") {
  Client client = Connect();
  const std::string large(3 << 20, 'l');
  for (uint32_t stream = 1; stream <= 5; stream += 2) {
    const uint64_t token = Deliver(client, *head_, stream, "r").header.token;
    head_->Respond(token, large);
  }
  CHECK(Upgrade(HYDRA_MONITOR_NEXT).operation.error == 0);
  for (uint32_t stream = 1; stream <= 5; stream += 2) {
    const Response response = client.Receive();
    CHECK(response.stream_id == stream);
    CHECK((response.payload == large));
  }
}

TEST_CASE_METHOD(UpgradeTest, "Children stay, and their exits are told",
                 "[monitor][upgrade]") {
  const Pipe pipe = MakePipe();
  head_->Shell(1, 1, "exec sleep 1000");
  const auto sleeper = head_->Expect(Type::kOperation).Body<Operation>().pid;
  head_->Shell(2, 1, "read x; exit 9", 0, {{pipe.read.get(), 0}});
  const auto waiter = head_->Expect(Type::kOperation).Body<Operation>().pid;
  head_->Shell(3, 1, "exit 3");
  head_->Expect(Type::kOperation);
  head_->Expect(Type::kExit);
  head_->Claim(50, sleeper);
  head_->Claim(51, waiter);

  head_->Upgrade(kToken, ++step_, {.monitor = HYDRA_MONITOR_NEXT});
  // While it happens, at no moment in particular.
  WriteBytes(pipe.write.get(), "\n");
  head_ = AcceptHead();
  const auto known = head_->Hello();
  const Message* exit = Find(known, Type::kExit, 3);
  REQUIRE(exit != nullptr);
  CHECK(WEXITSTATUS(exit->Body<link::Exit>().wait_status) == 3);
  int told = 0;
  for (const Message& message : known) {
    const auto body = message.Body<link::Exit>();
    if (message.type() != Type::kExit || body.process != 51) continue;
    CHECK(WEXITSTATUS(body.wait_status) == 9);
    ++told;
  }
  while (told == 0) {
    const auto body = head_->Expect(Type::kExit).Body<link::Exit>();
    if (body.process == 51 && WEXITSTATUS(body.wait_status) == 9) ++told;
  }
  ExitFileContents exits;
  REQUIRE(ReadExitFile(path("exits").c_str(), &exits) == 0);
  REQUIRE(exits.records.size() == 1);
  CHECK(exits.records[0].process == 51);
  head_->SignalProcess(9, 1, 50, SIGKILL);
  CHECK(head_->Expect(Type::kOperation).Body<Operation>().error == 0);
  Message last = head_->Expect(Type::kExit);
  if (last.Body<link::Exit>().process == 0) last = head_->Expect(Type::kExit);
  CHECK(WTERMSIG(last.Body<link::Exit>().wait_status) == SIGKILL);
}

TEST_CASE_METHOD(UpgradeTest, "A spawn and its output are the next head's",
                 "[monitor][upgrade]") {
  Pipe out = MakePipe();
  head_->Shell(4, 2, "echo here; read never",
               link::kSpawnKeepsFd | link::kSpawnAdopts,
               {{out.write.get(), 1}, {out.read.get(), -1}});
  head_->Expect(Type::kOperation);
  head_->Send(Type::kStore, 77, 0, link::StreamRef{}, {}, {out.write.get()});
  out = {};
  CHECK(Upgrade(HYDRA_MONITOR_NEXT).operation.error == 0);
  const Message* spawn = Find(known_, Type::kOperation, 4);
  REQUIRE(spawn != nullptr);
  REQUIRE(spawn->fds.size() == 1);
  CHECK(ReadBytes(spawn->fds[0].get(), 5) == "here\n");
  const Message* stored = Find(known_, Type::kStored, 77);
  REQUIRE(stored != nullptr);
  CHECK(stored->fds.size() == 1);
}

TEST_CASE_METHOD(UpgradeTest, "Streams go on byte by byte",
                 "[monitor][upgrade][stream]") {
  // A file takes no more than 4 KiB at once, so a pipe behind it is held back.
  Pipe source = MakePipe();
  Pipe sink = MakePipe();
  Pipe held_source = MakePipe();
  Pipe held_sink = MakePipe();
  head_->StreamAdd(1, link::StreamKind::kOutput, link::kStreamSinkIsFile,
                   {source.read.get(), sink.write.get()});
  head_->StreamAdd(2, link::StreamKind::kOutput, link::kStreamHeld,
                   {held_source.read.get(), held_sink.write.get()});
  source.read.Reset();
  sink.write.Reset();
  held_source.read.Reset();
  held_sink.write.Reset();
  std::string sent;
  for (int i = 0; sent.size() < 400'000; ++i) sent += std::to_string(i) + "\n";
  WriteBytes(held_source.write.get(), "held");
  fcntl(source.write.get(), F_SETFL, O_NONBLOCK);
  size_t written = 0;
  std::string received;
  for (int round = 0; round < 4; ++round) {
    // As much as goes in while nobody reads.
    CHECK(Eventually([&] {
      const ssize_t n = write(
          source.write.get(), sent.data() + written,
          std::min(sent.size() / 4 * (round + 1u), sent.size()) - written);
      if (n > 0) written += static_cast<size_t>(n);
      return n <= 0 || written >= sent.size() / 4 * (round + 1u);
    }));
    const Outcome outcome =
        Upgrade(round % 2 == 0 ? HYDRA_MONITOR_NEXT : HYDRA_MONITOR);
    CHECK(outcome.operation.error == 0);
    received += ReadBytes(sink.read.get(), written - received.size());
  }
  while (written < sent.size()) {
    const size_t before = written;
    const ssize_t n =
        write(source.write.get(), sent.data() + written, sent.size() - written);
    if (n > 0) written += static_cast<size_t>(n);
    received += ReadBytes(sink.read.get(), written - before);
  }
  source.write.Reset();
  CHECK((received == sent));
  Message ended = head_->Expect(Type::kStream);
  CHECK(ended.Body<link::StreamState>().bytes == sent.size());
  CHECK(!Ready(held_sink.read.get(), POLLIN, 50));
  head_->StreamRef(Type::kStreamStart, 2);
  CHECK(ReadBytes(held_sink.read.get(), 4) == "held");
}

TEST_CASE_METHOD(UpgradeTest, "A broken program changes nothing",
                 "[monitor][upgrade]") {
  Client client = Connect();
  const uint64_t pending = Deliver(client, *head_, 1, "wait").header.token;
  const std::string elf = [] {
    std::ifstream in(HYDRA_MONITOR, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  std::string foreign = elf;
  foreign[18] = '\x28';  // e_machine: ARM.
  const pid_t head = head_->pid;
  auto refuse = [&](const std::string& program) {
    INFO(program);
    const Outcome outcome = Refuse({.monitor = program});
    CHECK(outcome.texts[4].find(program) != std::string::npos);
    return outcome.operation.error;
  };
  CHECK(refuse("/no/such/program") == ENOENT);
  CHECK(refuse(Make("plain", elf, 0644)) == EACCES);
  CHECK(refuse(Make("garbage", "no program at all")) == ENOEXEC);
  CHECK(refuse(Make("foreign", foreign)) == ENOEXEC);
  CHECK(refuse(Make("truncated", elf.substr(0, 5000))) != 0);
  CHECK(refuse("/bin/true") == EPROTO);
  CHECK(refuse("/bin/false") == EPROTO);
  Make("test-trial-crash", "");
  const Outcome crashed = Refuse({.monitor = HYDRA_MONITOR_NEXT});
  CHECK(crashed.texts[4].find("signal 6") != std::string::npos);
  CHECK(head_->pid == head);
  CHECK(Program() == HYDRA_MONITOR);
  head_->Respond(pending, "still here");
  CHECK(client.Receive().payload == "still here");
  CHECK(Inspect().upgrades == 0);
}

TEST_CASE_METHOD(UpgradeTest, "A broken head changes nothing",
                 "[monitor][upgrade]") {
  const Outcome missing = Refuse({.head = "/no/such/head"});
  CHECK(missing.operation.error == ENOENT);
  CHECK(missing.texts[4].find("/no/such/head") != std::string::npos);
  const Outcome refused =
      Refuse({.head = Make("refuses", "#!/bin/sh\necho too new; exit 1\n")});
  CHECK(refused.operation.error == EPROTO);
  CHECK(refused.texts[4].find("exit status 1: \"too new\"") !=
        std::string::npos);
  CHECK(Program() == HYDRA_MONITOR);
}

TEST_CASE_METHOD(UpgradeTest, "A trial that hangs is given up",
                 "[monitor][upgrade]") {
  Make("test-trial-hang", "");
  const Outcome outcome = Refuse({.monitor = HYDRA_MONITOR_NEXT});
  CHECK(outcome.operation.error == ETIMEDOUT);
  CHECK(Eventually([this] { return Children().size() == 1; }));
  CHECK(Inspect().upgrades == 0);
}

TEST_CASE_METHOD(UpgradeTest, "A trial alone changes nothing",
                 "[monitor][upgrade]") {
  head_->Upgrade(
      kToken, 1,
      {.monitor = HYDRA_MONITOR_NEXT, .flags = link::kUpgradeTrialOnly});
  const Outcome outcome = OutcomeOf(head_->Expect(Type::kOperation));
  CHECK(outcome.operation.error == 0);
  CHECK(outcome.operation.paused == 0);
  CHECK(outcome.texts[1].find("+next") != std::string::npos);
  CHECK(Program() == HYDRA_MONITOR);
}

TEST_CASE_METHOD(UpgradeTest, "One upgrade at a time, each done once",
                 "[monitor][upgrade]") {
  head_->Upgrade(1, 1, {.monitor = HYDRA_MONITOR_NEXT});
  head_->Upgrade(1, 1, {.monitor = HYDRA_MONITOR_NEXT});
  head_->Upgrade(2, 1, {.monitor = HYDRA_MONITOR_NEXT});
  const Message second = head_->Expect(Type::kOperation);
  CHECK(second.header.token == 2);
  CHECK(OutcomeOf(second).operation.error == EALREADY);
  head_ = AcceptHead();
  const auto known = head_->Hello();
  const Message* first = Find(known, Type::kOperation, 1);
  REQUIRE(first != nullptr);
  CHECK(OutcomeOf(*first).operation.error == 0);
  // Asked again, by a head that was told already.
  head_->Upgrade(1, 1, {.monitor = HYDRA_MONITOR});
  CHECK(OutcomeOf(head_->Expect(Type::kOperation)).operation.error == 0);
  CHECK(Program() == HYDRA_MONITOR_NEXT);
  CHECK(Inspect().upgrades == 1);
}

TEST_CASE_METHOD(UpgradeTest, "An upgrade survives the head that asked for it",
                 "[monitor][upgrade]") {
  head_->Upgrade(1, 1, {.monitor = HYDRA_MONITOR_NEXT});
  head_->Kill();
  // The one that follows may be replaced itself, before it is told.
  const Message* told = nullptr;
  std::vector<Message> known;
  while (told == nullptr) {
    head_ = AcceptHead();
    known = HelloOrEnd();
    told = Find(known, Type::kOperation, 1);
  }
  head_->is_ready = true;
  CHECK(OutcomeOf(*told).operation.error == 0);
  CHECK(Program() == HYDRA_MONITOR_NEXT);
}

TEST_CASE_METHOD(UpgradeTest, "A state that needs the later version stays",
                 "[monitor][upgrade]") {
  CHECK(Upgrade(HYDRA_MONITOR_NEXT).operation.error == 0);
  Make("test-needs-next", "");
  const Outcome outcome = Refuse({.monitor = HYDRA_MONITOR});
  CHECK(outcome.operation.error == EPROTO);
  CHECK(outcome.texts[4].find("the state needs format 2") != std::string::npos);
  CHECK(Program() == HYDRA_MONITOR_NEXT);
  std::filesystem::remove(path("test-needs-next"));
  CHECK(Upgrade(HYDRA_MONITOR).operation.error == 0);
}

TEST_CASE_METHOD(UpgradeTest, "One that breaks while it takes over goes back",
                 "[monitor][upgrade]") {
  Client client = Connect();
  const uint64_t pending = Deliver(client, *head_, 1, "wait").header.token;
  const char* fault = GENERATE("test-crash", "test-hang");
  CAPTURE(fault);
  Make(fault, "");
  const pid_t monitor = pid();
  const Outcome outcome = Upgrade(HYDRA_MONITOR_NEXT);
  CHECK(outcome.operation.error != 0);
  CHECK(outcome.texts[4].find("went back") != std::string::npos);
  CHECK(pid() == monitor);
  CHECK(Program() == HYDRA_MONITOR);
  CHECK(head_->Expect(Type::kRequest).header.token == pending);
  head_->Respond(pending, "still here");
  CHECK(client.Receive().payload == "still here");
  std::filesystem::remove(path(fault));
  CHECK(Upgrade(HYDRA_MONITOR_NEXT).operation.error == 0);
}

TEST_CASE_METHOD(UpgradeTest, "A head that does not serve after all goes back",
                 "[monitor][upgrade]") {
  Client client = Connect();
  const uint64_t pending = Deliver(client, *head_, 1, "wait").header.token;
  const std::string head_program = std::filesystem::read_symlink(
      "/proc/" + std::to_string(head_->pid) + "/exe");
  const std::string bad = Make(
      "bad", "#!/bin/sh\n[ $1 = --check ] && echo ok 9.9 && exit\nexit 1\n");
  for (int round = 0; round < 2; ++round) {
    const Outcome outcome = Upgrade(HYDRA_MONITOR_NEXT, bad);
    CHECK(outcome.operation.error == EPROTO);
    CHECK(outcome.operation.paused > 0);
    CHECK(outcome.texts[4].find(bad + " does not serve: it ended 3 times") ==
          0);
    CHECK(Program() == HYDRA_MONITOR);
    CHECK(std::filesystem::read_symlink("/proc/" + std::to_string(head_->pid) +
                                        "/exe") == head_program);
    CHECK(head_->Expect(Type::kRequest).header.token == pending);
  }
  CHECK(Inspect().upgrades == 0);
  const int fds = FdCount();
  // The next one is started from the path again.
  CHECK(Upgrade(HYDRA_MONITOR_NEXT).operation.error == 0);
  CHECK(FdCount() < fds);
  CHECK(head_->Expect(Type::kRequest).header.token == pending);
  head_->Respond(pending, "still here");
  CHECK(client.Receive().payload == "still here");
}

TEST_CASE_METHOD(UpgradeTest, "The listener listens on", "[monitor][upgrade]") {
  CHECK(Upgrade(HYDRA_MONITOR_NEXT).operation.error == 0);
  Client client = Connect();
  const Message request = Deliver(client, *head_, 1, "new");
  head_->Respond(request.header.token, "answer");
  CHECK(client.Receive().payload == "answer");
  // What a child gets is not what the monitor took over.
  Pipe out = MakePipe();
  head_->Shell(5, 1, "ls -l /proc/self/fd | grep -c socket:; ulimit -n", 0,
               {{out.write.get(), 1}});
  out.write.Reset();
  const std::string said = ReadBytes(out.read.get(), 100);
  CHECK(said.substr(0, 2) == "0\n");
}

}  // namespace
}  // namespace hydra::monitor
