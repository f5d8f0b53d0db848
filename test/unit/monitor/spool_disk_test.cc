// A spool on a disk that is full, and a terminal's spool.

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <thread>

#include "shim/monitor/spool.h"
#include "test/unit/monitor/spool_fixture.h"

namespace hydra::monitor {
namespace {

using link::SpoolPolicy;
using link::StreamKind;
using link::StreamState;
using link::Type;

constexpr size_t kDisk = 512 << 10;

// A disk of kDisk bytes where the spool is to be.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    std::filesystem::create_directory(path_);
    is_mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0,
                        ("size=" + std::to_string(kDisk)).c_str()) == 0;
    if (!is_mounted_) WARN("skipped: mount needs root");
  }
  ~SmallDisk() {
    if (is_mounted_) CHECK(umount2(path_.c_str(), MNT_DETACH) == 0);
  }
  bool is_mounted() const { return is_mounted_; }

 private:
  const std::string path_;
  bool is_mounted_ = false;
};

TEST_CASE_METHOD(SpoolStreamFixture, "A full disk is a spool's bound",
                 "[monitor][spool]") {
  const SmallDisk disk(path("spool"));
  if (!disk.is_mounted()) return;
  const auto policy = GENERATE(SpoolPolicy::kBlock, SpoolPolicy::kDropOldest);
  Add(64 << 20, policy);
  const std::string sent = NumberedLines(0, (4 << 20) / 16);
  const size_t taken = WriteUntilBlocked(sent, 300);
  CHECK(taken > kDisk);
  CHECK(taken < sent.size());
  CHECK(State().spool_error == ENOSPC);
  CHECK(State().spool_size == kDisk);
  const int64_t before = WakeUps();
  CHECK(head->IsQuiet(500));
  CHECK(WakeUps() - before <= 3);
  const UniqueFd reader = OpenReader();
  std::thread writer([&] { Write(std::string_view(sent).substr(taken)); });
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
  writer.join();
  CHECK(State().lost_bytes == 0);
}

TEST_CASE_METHOD(SpoolStreamFixture,
                 "A disk that was full is tried again, without a reader",
                 "[monitor][spool]") {
  const SmallDisk disk(path("spool"));
  if (!disk.is_mounted()) return;
  const std::string hog = path("spool") + "/hog";
  UniqueFd file(open(hog.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  WriteBytes(file.get(), std::string(kDisk, 'h'));
  file.Reset();
  Add(64 << 20);
  const std::string sent = NumberedLines(0, (600 << 10) / 16);
  const size_t taken = WriteUntilBlocked(sent, 300);
  CHECK(taken < sent.size());
  CHECK(State().spool_size == 0);
  REQUIRE(unlink(hog.c_str()) == 0);
  Write(std::string_view(sent).substr(taken));
  CHECK(State().spool_size > 0);
  const UniqueFd reader = OpenReader();
  CHECK(ReadBytes(reader.get(), sent.size()) == sent);
}

TEST_CASE("A spool on a full disk keeps what it has and takes no more",
          "[monitor][spool]") {
  char name[] = "/tmp/hydra-spool-test-XXXXXX";
  REQUIRE(mkdtemp(name) != nullptr);
  {
    const SmallDisk disk(name);
    if (!disk.is_mounted()) return;
    Spool spool;
    spool.Open(OpenSpoolFile(name), 64 << 20);
    const std::string data(kDisk - 1000, 'd');
    CHECK(spool.Append(data) == static_cast<ssize_t>(data.size()));
    CHECK(spool.Append(std::string(100'000, 'e')) == 1000);
    CHECK(spool.Append("f") == -ENOSPC);
    Pipe pipe = MakePipe();
    WriteBytes(pipe.write.get(), "in the pipe");
    CHECK(spool.AppendFrom(pipe.read.get(), 100) == -ENOSPC);
    CHECK(ReadBytes(pipe.read.get(), 11) == "in the pipe");
    CHECK(spool.size() == kDisk);
    std::string content(kDisk, '\0');
    CHECK(spool.Peek(content.data(), kDisk) == static_cast<ssize_t>(kDisk));
    CHECK(content == data + std::string(1000, 'e'));
    spool.Close();
  }
  CHECK(rmdir(name) == 0);
}

TEST_CASE_METHOD(SpoolStreamFixture, "A terminal has a spool too",
                 "[monitor][spool][console]") {
  const auto policy = GENERATE(SpoolPolicy::kBlock, SpoolPolicy::kDropOldest);
  constexpr uint64_t kBound = 256 << 10;
  const bool drops = policy == SpoolPolicy::kDropOldest;
  UniqueFd master(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(unlockpt(master.get()) == 0);
  source().Reset(
      open(ptsname(master.get()), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(source().valid());
  termios mode;
  REQUIRE(tcgetattr(source().get(), &mode) == 0);
  cfmakeraw(&mode);
  REQUIRE(tcsetattr(source().get(), TCSANOW, &mode) == 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path("pty.sock").c_str());
  const UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
               sizeof(address)) == 0);
  REQUIRE(listen(listener.get(), 1) == 0);
  REQUIRE(mkfifo(path("out").c_str(), 0600) == 0);
  const UniqueFd sink(
      open(path("out").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  AddStream(StreamKind::kConsole, link::kStreamHasOutput,
            drops ? kBound : 64 << 20, policy, {listener.get(), sink.get()});
  const UniqueFd connection = ConnectTo(path("pty.sock"));
  SendFds(connection.get(), {master.get()});
  master.Reset();
  REQUIRE(Eventually([&] { return State().has_console == 1; }));

  const std::string sent = NumberedLines(0, (2 << 20) / 16);
  CHECK(Write(sent) < 250);
  REQUIRE(WaitForSpooling(true));
  head->StreamRef(Type::kStreamFinish, kStream);
  CHECK(head->IsQuiet(100));
  const UniqueFd reader = OpenReader();
  const std::string last = sent.substr(sent.size() - 16);
  std::string received;
  std::string block(65536, '\0');
  while (!received.ends_with(last) && Ready(reader.get(), POLLIN, kPatience)) {
    const ssize_t n = read(reader.get(), block.data(), block.size());
    REQUIRE(n > 0);
    received.append(block, 0, static_cast<size_t>(n));
  }
  const StreamState end = ExpectEnd();
  CHECK(end.bytes == received.size());
  CHECK(received.size() + end.lost_bytes == sent.size());
  CHECK((end.lost_bytes > 0) == drops);
  if (!drops) CHECK(received == sent);
}

}  // namespace
}  // namespace hydra::monitor
