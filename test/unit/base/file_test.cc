#include "shim/base/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "shim/base/status.h"
#include "test/unit/base/temp_directory.h"

namespace hydra {
namespace {

TEST_CASE("ReadFile gives what ReplaceFile wrote") {
  TempDirectory directory;
  const std::string path = directory / "file";
  const std::string content("with a \0 in it", 14);
  REQUIRE(ReplaceFile(path, content, 0640).ok());
  const auto read = ReadFile(path, 100);
  REQUIRE(read.ok());
  CHECK(*read == content);
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0640);
  CHECK(access((path + ".tmp").c_str(), F_OK) < 0);
}

TEST_CASE("ReadFile takes a file of exactly the limit, and none above it") {
  TempDirectory directory;
  const std::string path = directory / "file";
  REQUIRE(ReplaceFile(path, std::string(5000, 'x'), 0600).ok());
  CHECK(ReadFile(path, 5000).ok());
  const auto read = ReadFile(path, 4999);
  CHECK(absl::IsInvalidArgument(read.status()));
  CHECK(Message(read.status()) == "read " + path + ": longer than 4999 bytes");
}

TEST_CASE("ReadFile reads files of /proc, whose size is said to be 0") {
  const auto read = ReadFile("/proc/self/status", 1 << 20);
  REQUIRE(read.ok());
  CHECK(read->starts_with("Name:"));
}

TEST_CASE("ReadFile of a file that is not there is NotFound and names it") {
  TempDirectory directory;
  const auto read = ReadFile(directory / "none", 10);
  CHECK(absl::IsNotFound(read.status()));
  CHECK(Message(read.status()) ==
        "open " + directory.path() + "/none: No such file or directory");
}

TEST_CASE("ReadFile of a directory is an error, not an empty file") {
  TempDirectory directory;
  CHECK_FALSE(ReadFile(directory.path(), 10).ok());
}

TEST_CASE("ReplaceFile does not follow a link where its temporary file goes") {
  TempDirectory directory;
  const std::string victim = directory / "victim";
  REQUIRE(ReplaceFile(victim, "untouched", 0600).ok());
  REQUIRE(symlink(victim.c_str(), (directory / "file.tmp").c_str()) == 0);
  CHECK_FALSE(ReplaceFile(directory / "file", "new", 0600).ok());
  CHECK(*ReadFile(victim, 100) == "untouched");
}

TEST_CASE("ReplaceFile that cannot rename removes its temporary file") {
  TempDirectory directory;
  const std::string path = directory / "file";
  REQUIRE(mkdir(path.c_str(), 0700) == 0);
  CHECK_FALSE(ReplaceFile(path, "new", 0600).ok());
  CHECK(access((path + ".tmp").c_str(), F_OK) < 0);
}

}  // namespace
}  // namespace hydra
