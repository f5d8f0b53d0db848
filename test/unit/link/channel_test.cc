#include "shim/link/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "shim/base/unique_fd.h"
#include "shim/link/protocol.h"
#include "test/unit/base/pipe.h"

namespace hydra::link {
namespace {

struct Pair {
  Pair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    left.Reset(fds[0]);
    right.Reset(fds[1]);
  }
  // Writes and reads in turn until a message is whole.
  Message Transfer() {
    Message message;
    for (int i = 0; i < 10'000; ++i) {
      REQUIRE(writer.Flush(left.get()));
      const Reader::Result result = reader.Next(right.get(), &message);
      if (result == Reader::Result::kMessage) return message;
      REQUIRE(result == Reader::Result::kAgain);
    }
    FAIL("no message");
    return message;
  }
  UniqueFd left;
  UniqueFd right;
  Writer writer;
  Reader reader;
};

size_t OpenFds() {
  const std::filesystem::directory_iterator fds("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(fds), end(fds)));
}

std::string Encode(const Header& header, std::string_view rest = {}) {
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  return bytes.append(rest);
}

TEST_CASE("A message arrives with all its parts", "[link][channel]") {
  Pair pair;
  pair.writer.Add(Type::kRequest, 7, 3, StreamRef{42}, "tail");
  const Message message = pair.Transfer();
  CHECK(message.type() == Type::kRequest);
  CHECK(message.header.token == 7);
  CHECK(message.header.step == 3);
  CHECK(message.Body<StreamRef>().stream == 42);
  CHECK(message.tail() == "tail");
  CHECK(message.fds.empty());
  CHECK(pair.writer.empty());
  CHECK(pair.writer.size() == 0);
}

TEST_CASE("Text is a tail, never a body", "[link][channel]") {
  Pair pair;
  pair.writer.Add(Type::kResponse, 1, 0, std::string("string"));
  pair.writer.Add(Type::kResponse, 2, 0, "literal");
  const Message first = pair.Transfer();
  CHECK(first.header.body_size == 0);
  CHECK(first.tail() == "string");
  CHECK(pair.Transfer().tail() == "literal");
}

TEST_CASE("Messages keep their order, whatever the socket takes at once",
          "[link][channel]") {
  Pair pair;
  for (uint64_t i = 0; i < 2000; ++i) {
    pair.writer.Add(Type::kResponse, i, 0, std::string(i % 700, 'x'));
  }
  for (uint64_t i = 0; i < 2000; ++i) {
    const Message message = pair.Transfer();
    CHECK(message.header.token == i);
    CHECK(message.tail().size() == i % 700);
  }
}

TEST_CASE("The longest message passes", "[link][channel]") {
  Pair pair;
  std::string tail(kMaxMessage, 'x');
  tail.back() = 'y';
  pair.writer.Add(Type::kResponse, 1, 0, tail);
  pair.writer.Add(Type::kResponse, 2, 0, "next");
  CHECK(pair.writer.size() > kMaxMessage);
  CHECK(pair.Transfer().tail() == tail);
  CHECK(pair.Transfer().tail() == "next");
}

TEST_CASE("A message may come byte by byte", "[link][channel]") {
  Pair pair;
  Header header = {};
  header.type = static_cast<uint16_t>(Type::kResponse);
  header.length = 3;
  const std::string bytes = Encode(header, "abc") + Encode(header, "def");
  std::vector<std::string> tails;
  for (char c : bytes) {
    REQUIRE(write(pair.left.get(), &c, 1) == 1);
    Message message;
    const Reader::Result result = pair.reader.Next(pair.right.get(), &message);
    if (result == Reader::Result::kMessage) {
      tails.emplace_back(message.tail());
    } else {
      CHECK(result == Reader::Result::kAgain);
    }
  }
  CHECK(tails == std::vector<std::string>{"abc", "def"});
}

TEST_CASE("Descriptors stay with their message", "[link][channel]") {
  const size_t before = OpenFds();
  {
    Pair pair;
    std::vector<UniqueFd> reads;
    for (int i = 0; i < 5; ++i) {
      // The sender's own may go as soon as the message is queued.
      Pipe pipe = MakePipe();
      reads.push_back(std::move(pipe.read));
      pair.writer.Add(Type::kStore, static_cast<uint64_t>(i), 0,
                      std::string(100'000, 'x'), {pipe.write.get()});
      pair.writer.Add(Type::kStore, 100, 0, "none");
    }
    for (size_t i = 0; i < 5; ++i) {
      const Message message = pair.Transfer();
      CHECK(message.header.token == i);
      REQUIRE(message.fds.size() == 1);
      CHECK((fcntl(message.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
      REQUIRE(write(message.fds[0].get(), "!", 1) == 1);
      char c = 0;
      CHECK(read(reads[i].get(), &c, 1) == 1);
      CHECK(pair.Transfer().fds.empty());
    }
  }
  CHECK(OpenFds() == before);
}

TEST_CASE("As many descriptors as a message may have arrive in order",
          "[link][channel]") {
  Pair pair;
  std::vector<Pipe> ours;
  std::vector<int> raw;
  for (int i = 0; i < kMaxFds; ++i) {
    ours.push_back(MakePipe());
    raw.push_back(ours.back().write.get());
  }
  pair.writer.Add(Type::kStore, 1, 0, {}, raw);
  const Message message = pair.Transfer();
  REQUIRE(message.fds.size() == static_cast<size_t>(kMaxFds));
  for (size_t i = 0; i < message.fds.size(); ++i) {
    REQUIRE(write(message.fds[i].get(), "!", 1) == 1);
    char c = 0;
    CHECK(read(ours[i].read.get(), &c, 1) == 1);
  }
}

TEST_CASE("A body of another release is cut or filled with zeroes",
          "[link][channel]") {
  Pair pair;
  pair.writer.Add(Type::kStream, 0, 0, StreamRef{42}, "tail");
  const Message shorter = pair.Transfer();
  const auto state = shorter.Body<StreamState>();
  CHECK(state.stream == 42);
  CHECK(state.bytes == 0);
  CHECK(state.has_console == 0);
  CHECK(shorter.tail() == "tail");

  StreamState longer = {};
  longer.stream = 43;
  longer.bytes = 99;
  pair.writer.Add(Type::kStream, 0, 0, longer, "tail");
  const Message message = pair.Transfer();
  CHECK(message.Body<StreamRef>().stream == 43);
  CHECK(message.tail() == "tail");
}

TEST_CASE("What is not of the protocol is an error", "[link][channel]") {
  Pair pair;
  Header header = {};
  SECTION("a message that is too long") { header.length = kMaxMessage + 1; }
  SECTION("a body longer than its message") {
    header.length = 4;
    header.body_size = 5;
  }
  SECTION("too many descriptors") { header.fd_count = kMaxFds + 1; }
  SECTION("a descriptor that did not come") { header.fd_count = 1; }
  const std::string bytes = Encode(header, "1234");
  REQUIRE(write(pair.left.get(), bytes.data(), bytes.size()) ==
          static_cast<ssize_t>(bytes.size()));
  Message message;
  CHECK(pair.reader.Next(pair.right.get(), &message) == Reader::Result::kError);
}

TEST_CASE("The end of the peer is told after what it said", "[link][channel]") {
  Pair pair;
  pair.writer.Add(Type::kResponse, 1, 0, "last");
  REQUIRE(pair.writer.Flush(pair.left.get()));
  pair.left.Reset();
  Message message;
  CHECK(pair.reader.Next(pair.right.get(), &message) ==
        Reader::Result::kMessage);
  CHECK(message.tail() == "last");
  CHECK(pair.reader.Next(pair.right.get(), &message) ==
        Reader::Result::kClosed);
  pair.writer.Add(Type::kResponse, 1);
  CHECK_FALSE(pair.writer.Flush(pair.right.get()));
}

// The monitor takes a dead head's last words with one pass, which ends at
// kAgain: a claim behind a long answer must not be lost.
TEST_CASE("A dead peer's last words come in one go, long ones too",
          "[link][channel]") {
  Pair pair;
  pair.writer.Add(Type::kResponse, 1, 0, std::string(50'000, 'x'));
  pair.writer.Add(Type::kClaim, 2, 0, Claim{});
  REQUIRE(pair.writer.Flush(pair.left.get()));
  REQUIRE(pair.writer.empty());
  pair.left.Reset();
  Message message;
  REQUIRE(pair.reader.Next(pair.right.get(), &message) ==
          Reader::Result::kMessage);
  CHECK(message.tail().size() == 50'000);
  REQUIRE(pair.reader.Next(pair.right.get(), &message) ==
          Reader::Result::kMessage);
  CHECK(message.type() == Type::kClaim);
  CHECK(pair.reader.Next(pair.right.get(), &message) ==
        Reader::Result::kClosed);
}

TEST_CASE("A full socket keeps the rest queued", "[link][channel]") {
  Pair pair;
  pair.writer.Add(Type::kResponse, 1, 0, std::string(1 << 20, 'x'));
  REQUIRE(pair.writer.Flush(pair.left.get()));
  CHECK_FALSE(pair.writer.empty());
  CHECK(pair.writer.size() < (1 << 20));
  CHECK(pair.Transfer().tail().size() == 1 << 20);
  pair.writer.Add(Type::kResponse, 1, 0, std::string(1 << 20, 'x'));
  pair.writer.Clear();
  CHECK(pair.writer.empty());
  CHECK(pair.writer.size() == 0);
}

TEST_CASE("A descriptor that could not be duplicated is the reader's error",
          "[link][channel]") {
  Pair pair;
  rlimit old_limit;
  REQUIRE(getrlimit(RLIMIT_NOFILE, &old_limit) == 0);
  const UniqueFd highest(fcntl(0, F_DUPFD_CLOEXEC, 0));
  REQUIRE(highest.valid());
  rlimit limit = old_limit;
  limit.rlim_cur = static_cast<rlim_t>(highest.get()) + 1;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  pair.writer.Add(Type::kStore, 1, 0, {}, {0});
  REQUIRE(setrlimit(RLIMIT_NOFILE, &old_limit) == 0);
  REQUIRE(pair.writer.Flush(pair.left.get()));
  Message message;
  CHECK(pair.reader.Next(pair.right.get(), &message) == Reader::Result::kError);
  CHECK(errno == EMFILE);
}

}  // namespace
}  // namespace hydra::link
