// The ring on disk: order, bound, what is dropped, what is given back.

#include "shim/monitor/spool.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <random>
#include <string>

#include "test/unit/base/temp_directory.h"

namespace hydra::monitor {
namespace {

// A spool in a directory of its own, which has nothing in it at the end.
struct SpoolFixture {
  explicit SpoolFixture(uint64_t capacity = 64) {
    UniqueFd file = OpenSpoolFile(directory);
    REQUIRE(file.valid());
    file_fd = file.get();
    spool.Open(std::move(file), capacity);
    CHECK(std::filesystem::is_empty(directory));
  }

  void Fill(const std::string& data) {
    REQUIRE(spool.Append(data) == static_cast<ssize_t>(data.size()));
  }
  std::string Content() const {
    std::string content(spool.size(), '\0');
    if (content.empty()) return content;
    CHECK(spool.Peek(content.data(), content.size()) ==
          static_cast<ssize_t>(content.size()));
    return content;
  }
  struct stat Stat() const {
    struct stat info;
    REQUIRE(fstat(file_fd, &info) == 0);
    return info;
  }

  TempDirectory parent;
  std::string directory = parent.path() + "/a/b";
  Spool spool;
  int file_fd = -1;
};

TEST_CASE("A spool's file is private and has no name", "[monitor][spool]") {
  SpoolFixture test;
  CHECK((test.Stat().st_mode & 0777) == 0600);
  CHECK(test.Stat().st_nlink == 0);
  struct stat info;
  REQUIRE(stat(test.directory.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  const UniqueFd unlinked = OpenUnlinkedFile(test.directory);
  REQUIRE(fstat(unlinked.get(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(info.st_nlink == 0);
  CHECK(std::filesystem::is_empty(test.directory));
}

TEST_CASE("A directory that cannot be used is an error", "[monitor][spool]") {
  const UniqueFd file = OpenSpoolFile("/proc/self/hydra/spool");
  CHECK_FALSE(file.valid());
  CHECK(errno == ENOENT);
}

TEST_CASE("What goes into a spool comes out, in order, however often around",
          "[monitor][spool]") {
  SpoolFixture test(1000);
  std::minstd_rand random(7);
  std::string model;
  int pipe_ends[2];
  REQUIRE(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const UniqueFd pipe_read(pipe_ends[0]);
  const UniqueFd pipe_write(pipe_ends[1]);
  for (int i = 0; i < 3000; ++i) {
    std::string data(random() % 700, '\0');
    for (char& c : data) c = static_cast<char>(random());
    ssize_t n = 0;
    if (i % 2 == 0) {
      n = test.spool.Append(data);
    } else if (!data.empty() && test.spool.room() > 0) {
      REQUIRE(write(pipe_write.get(), data.data(), data.size()) ==
              static_cast<ssize_t>(data.size()));
      // As much as is in one piece; what it leaves stays in the pipe.
      while (true) {
        const ssize_t m = test.spool.AppendFrom(pipe_read.get(), data.size());
        if (m == -EAGAIN || test.spool.room() == 0) {
          if (m > 0) n += m;
          break;
        }
        REQUIRE(m > 0);
        n += m;
      }
      std::string rest(data.size() - static_cast<size_t>(n) + 1, '\0');
      if (static_cast<size_t>(n) < data.size()) {
        REQUIRE(read(pipe_read.get(), rest.data(), rest.size()) ==
                static_cast<ssize_t>(data.size()) - n);
        rest.pop_back();
        CHECK(rest == data.substr(static_cast<size_t>(n)));
      }
    }
    REQUIRE(n >= 0);
    model += data.substr(0, static_cast<size_t>(n));
    REQUIRE(test.spool.size() == model.size());
    REQUIRE(test.spool.room() == 1000 - model.size());
    std::string out(random() % 700, '\0');
    const ssize_t got = test.spool.Peek(out.data(), out.size());
    REQUIRE(got == static_cast<ssize_t>(std::min(out.size(), model.size())));
    out.resize(static_cast<size_t>(got));
    REQUIRE(out == model.substr(0, out.size()));
    const size_t taken = out.empty() ? 0 : random() % (out.size() + 1);
    test.spool.Consume(taken);
    model.erase(0, taken);
  }
  CHECK(test.Stat().st_size <= 1000);
}

TEST_CASE("A full spool takes no more", "[monitor][spool]") {
  SpoolFixture test(10);
  CHECK(test.spool.Append("0123456789abc") == 10);
  CHECK(test.spool.Append("x") == 0);
  CHECK(test.Content() == "0123456789");
}

TEST_CASE("Space of what was read is given back", "[monitor][spool]") {
  constexpr uint64_t kCapacity = 8 << 20;
  SpoolFixture test(kCapacity);
  const std::string block(1 << 20, 'b');
  const auto used = [&] { return uint64_t(test.Stat().st_blocks) * 512; };
  for (int i = 0; i < 8; ++i) test.Fill(block);
  CHECK(used() >= kCapacity);
  // Around and around: what is full stays whole.
  for (int i = 0; i < 20; ++i) {
    test.spool.Consume(block.size());
    CHECK(test.spool.room() == block.size());
    test.Fill(std::string(block.size(), static_cast<char>('c' + i)));
  }
  CHECK(test.Content().substr(0, 2) == "oo");
  CHECK(test.Content().back() == 'c' + 19);
  CHECK(test.Stat().st_size == kCapacity);
  for (int i = 0; i < 6; ++i) test.spool.Consume(block.size());
  CHECK(used() <= 2 * block.size() + (64 << 10));
  CHECK(test.Content().size() == 2 * block.size());
  CHECK(test.Content().find_first_not_of("uv") == std::string::npos);
}

TEST_CASE("Whole lines are dropped", "[monitor][spool]") {
  SpoolFixture test(30);
  test.Fill("one\ntwo\nthree\nfour\nfive\n");  // 24
  CHECK(test.spool.DropOldest(6, false) == 0);
  SECTION("as many as are needed") {
    CHECK(test.spool.DropOldest(7, false) == 4);
    CHECK(test.Content() == "two\nthree\nfour\nfive\n");
    CHECK(test.spool.DropOldest(15, false) == 10);
    CHECK(test.Content() == "four\nfive\n");
  }
  SECTION("but not the rest of one that has begun") {
    test.spool.Consume(1);
    CHECK(test.spool.DropOldest(8, true) == 4);
    CHECK(test.Content() == "ne\nthree\nfour\nfive\n");
    // And around the end of the ring.
    test.Fill("sixsix\nsev\n");
    CHECK(test.spool.room() == 0);
    CHECK(test.spool.DropOldest(6, true) == 6);
    CHECK(test.Content() == "ne\nfour\nfive\nsixsix\nsev\n");
    CHECK(test.spool.DropOldest(20, true) == 17);
    CHECK(test.Content() == "ne\nsev\n");
  }
  SECTION("all of them") {
    CHECK(test.spool.DropOldest(30, true) == 24);
    CHECK(test.spool.empty());
  }
}

TEST_CASE("A line without end is cut", "[monitor][spool]") {
  constexpr uint64_t kCapacity = 100'000;
  SpoolFixture test(kCapacity);
  test.Fill(std::string(kCapacity, 'x'));
  CHECK(test.spool.DropOldest(10, true) == 10);
  CHECK(test.spool.size() == kCapacity - 10);
}

}  // namespace
}  // namespace hydra::monitor
