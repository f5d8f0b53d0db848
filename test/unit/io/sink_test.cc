#include "shim/io/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shim/base/file.h"
#include "shim/base/status.h"
#include "test/unit/base/temp_directory.h"

namespace hydra {
namespace {

SinkName Parse(const std::string& name) {
  auto sink = ParseSinkName(name);
  INFO(name);
  REQUIRE(sink.ok());
  return *sink;
}

std::string ParseError(const std::string& name) {
  const auto sink = ParseSinkName(name);
  INFO(name);
  CHECK(absl::IsInvalidArgument(sink.status()));
  return Message(sink.status());
}

TEST_CASE("No name is no stream") { CHECK(Parse("").kind == SinkKind::kNone); }

TEST_CASE("A path is a FIFO's, and has no escapes") {
  const SinkName sink = Parse("/run/a%20b?c");
  CHECK(sink.kind == SinkKind::kFifo);
  CHECK(sink.path == "/run/a%20b?c");
}

TEST_CASE("Each scheme has its kind") {
  CHECK(Parse("fifo:///run/f").kind == SinkKind::kFifo);
  CHECK(Parse("fifo:///run/f").path == "/run/f");
  CHECK(Parse("file:///var/log/x").kind == SinkKind::kFile);
  CHECK(Parse("file:///var/log/x").path == "/var/log/x");
  CHECK(Parse("binary:///bin/l").kind == SinkKind::kBinary);
  CHECK_FALSE(Parse("binary:///bin/l").must_call_ready);
  CHECK(Parse("binary-v2:///bin/l").kind == SinkKind::kBinary);
  CHECK(Parse("binary-v2:///bin/l").must_call_ready);
}

TEST_CASE("A URI's path is unescaped, \"+\" is itself there") {
  CHECK(Parse("file:///a%20b%2Fc+d").path == "/a b/c+d");
  CHECK(Parse("file:///a%2fb").path == "/a/b");
  CHECK(Parse("file:///x?y=1").path == "/x");
}

TEST_CASE("What is no whole escape stays as it is") {
  CHECK(Parse("file:///a%").path == "/a%");
  CHECK(Parse("file:///a%2").path == "/a%2");
  CHECK(Parse("file:///a%zz").path == "/a%zz");
  CHECK(Parse("file:///a%%20").path == "/a% ");
}

TEST_CASE("A logger's arguments keep the order of the query") {
  CHECK(Parse("binary:///l?z=1&a=2&m=3").arguments ==
        std::vector<std::string>{"z", "1", "a", "2", "m", "3"});
}

TEST_CASE("A query is decoded; of a key that comes twice the first counts") {
  CHECK(Parse("binary:///l?a+b=c%26d&a%20b=x").arguments ==
        std::vector<std::string>{"a b", "c&d"});
}

TEST_CASE("A query may have keys without value, empty pieces and more \"=\"") {
  CHECK(Parse("binary:///l?flag&&x=1=2&").arguments ==
        std::vector<std::string>{"flag", "", "x", "1=2"});
  CHECK(Parse("binary:///l?").arguments.empty());
  CHECK(Parse("binary:///l?=v").arguments == std::vector<std::string>{"", "v"});
}

TEST_CASE("Names that are none are refused") {
  CHECK(ParseError("http:///x") == "unknown STDIO scheme http");
  CHECK(ParseError(":///x") == "unknown STDIO scheme ");
  CHECK(ParseError("FILE:///x") == "unknown STDIO scheme FILE");
  CHECK(ParseError("relative") ==
        "stdio \"relative\": the path is not absolute");
  CHECK(ParseError("file://host/x") ==
        "stdio \"file://host/x\": the path is not absolute");
  CHECK(ParseError("binary://") ==
        "stdio \"binary://\": the path is not absolute");
}

TEST_CASE("A FIFO without reader opens at once, and has no EPIPE") {
  TempDirectory directory;
  const std::string path = directory / "fifo";
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const auto sink = OpenSink(path);
  REQUIRE(sink.ok());
  CHECK_FALSE(sink->is_file);
  CHECK(write(sink->fd.get(), "x", 1) == 1);
  CHECK((fcntl(sink->fd.get(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(sink->fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("A regular file is appended to") {
  TempDirectory directory;
  const std::string path = directory / "file";
  REQUIRE(ReplaceFile(path, "old ", 0600).ok());
  const auto sink = OpenSink(path);
  REQUIRE(sink.ok());
  CHECK(sink->is_file);
  REQUIRE(write(sink->fd.get(), "new", 3) == 3);
  CHECK(*ReadFile(path, 100) == "old new");
}

TEST_CASE("A sink that is not there is told in containerd's words") {
  TempDirectory directory;
  const std::string path = directory / "none";
  const auto sink = OpenSink(path);
  CHECK(absl::IsNotFound(sink.status()));
  CHECK(Message(sink.status()) == "containerd-shim: opening file \"" + path +
                                      "\" failed: open " + path +
                                      ": No such file or directory");
}

TEST_CASE("A log file is made, with the directories above it") {
  TempDirectory directory;
  const std::string path = directory / "a/b/log";
  {
    const auto file = OpenLogFile(path);
    REQUIRE(file.ok());
    REQUIRE(write(file->get(), "1", 1) == 1);
  }
  const auto again = OpenLogFile(path);
  REQUIRE(again.ok());
  REQUIRE(write(again->get(), "2", 1) == 1);
  CHECK(*ReadFile(path, 100) == "12");
}

TEST_CASE("A log file below a file is an error") {
  TempDirectory directory;
  REQUIRE(ReplaceFile(directory / "file", "", 0600).ok());
  CHECK_FALSE(OpenLogFile(directory / "file/log").ok());
}

TEST_CASE("A source FIFO has no end of file between two writers") {
  TempDirectory directory;
  const std::string path = directory / "fifo";
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const auto source = OpenSource(path);
  REQUIRE(source.ok());
  REQUIRE(source->hold.valid());
  {
    const UniqueFd writer(
        open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(write(writer.get(), "x", 1) == 1);
  }
  char byte;
  CHECK(read(source->fd.get(), &byte, 1) == 1);
  CHECK(read(source->fd.get(), &byte, 1) < 0);
  CHECK(errno == EAGAIN);
}

TEST_CASE("A source that is a file needs no writer held") {
  TempDirectory directory;
  const std::string path = directory / "file";
  REQUIRE(ReplaceFile(path, "text", 0600).ok());
  const auto source = OpenSource(path);
  REQUIRE(source.ok());
  CHECK_FALSE(source->hold.valid());
  CHECK(absl::IsNotFound(OpenSource(directory / "none").status()));
}

}  // namespace
}  // namespace hydra
