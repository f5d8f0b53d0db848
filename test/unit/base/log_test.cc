#include "shim/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "shim/base/unique_fd.h"

namespace hydra {
namespace {

// The log goes into a pipe while this lives.
class LogPipe final {
 public:
  explicit LogPipe(LogLevel level = LogLevel::kInfo) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    read_.Reset(ends[0]);
    write_.Reset(ends[1]);
    SetLogSink(write_.get(), level);
  }
  ~LogPipe() {
    SetLogContext("");
    SetLogSink(STDERR_FILENO, LogLevel::kInfo);
  }

  std::string Take() {
    std::string text;
    char buffer[4096];
    ssize_t n;
    while ((n = read(read_.get(), buffer, sizeof(buffer))) > 0) {
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }
  void Fill() {
    const std::string page(4096, '.');
    while (write(write_.get(), page.data(), page.size()) > 0) {
    }
    REQUIRE(errno == EAGAIN);
  }

 private:
  UniqueFd read_;
  UniqueFd write_;
};

// Without the time stamp, which is checked for its shape.
std::string WithoutTime(const std::string& line) {
  REQUIRE(line.size() > 40);
  CHECK(line.starts_with("time=\""));
  CHECK(line.substr(35, 3) == "Z\" ");
  return line.substr(38);
}

TEST_CASE("A log line has time, level, message and context") {
  LogPipe log;
  SetLogContext("id=abc");
  LogWarning("unmount ", "/x", ", ignoring: ", 7);
  CHECK(WithoutTime(log.Take()) ==
        "level=warning msg=\"unmount /x, ignoring: 7\" id=abc\n");
}

TEST_CASE("A message cannot end its line or its quotes") {
  LogPipe log;
  LogInfo("a\"b\\c\nd\te\x01");
  CHECK(WithoutTime(log.Take()) == "level=info msg=\"a\\\"b\\\\c\\nd e \"\n");
}

TEST_CASE("Lines below the level are not written") {
  LogPipe log(LogLevel::kError);
  LogDebug("no");
  LogInfo("no");
  LogWarning("no");
  CHECK(log.Take().empty());
  LogError("yes");
  CHECK(WithoutTime(log.Take()) == "level=error msg=\"yes\"\n");
}

TEST_CASE("A full log drops lines, and counts them in the next that fits") {
  LogPipe log;
  log.Fill();
  LogInfo("lost");
  LogInfo("lost too");
  CHECK(log.Take().find("lost") == std::string::npos);
  LogInfo("back");
  CHECK(WithoutTime(log.Take()) == "level=info msg=\"back\" dropped=2\n");
  LogInfo("again");
  CHECK(WithoutTime(log.Take()) == "level=info msg=\"again\"\n");
}

TEST_CASE("A log that cannot be written at all counts its lines too") {
  LogPipe log;
  {
    const UniqueFd unwritable(open("/dev/null", O_RDONLY | O_CLOEXEC));
    SetLogSink(unwritable.get(), LogLevel::kInfo);
    LogInfo("lost");
  }
  LogPipe good;
  LogInfo("back");
  CHECK(WithoutTime(good.Take()) == "level=info msg=\"back\" dropped=1\n");
}

}  // namespace
}  // namespace hydra
