#include "shim/runtime/runtime_log.h"

#include <catch2/catch.hpp>
#include <string>

#include "shim/base/file.h"
#include "test/unit/base/temp_directory.h"

namespace hydra {
namespace {

std::string Line(const std::string& level, const std::string& text) {
  return "{\"level\":\"" + level + "\",\"msg\":\"" + text +
         "\",\"time\":\"2024-01-01T00:00:00Z\"}\n";
}

TEST_CASE("The last error of a log counts, of errors only") {
  CHECK(LastLoggedErrorIn(Line("error", "first") + Line("error", "last") +
                          Line("warning", "later") + Line("info", "x")) ==
        "last");
  CHECK(LastLoggedErrorIn(Line("debug", "x")).empty());
  CHECK(LastLoggedErrorIn("").empty());
}

TEST_CASE("Errors are trimmed; one that is only white space is none") {
  CHECK(LastLoggedErrorIn(Line("error", " \\n text here\\t\\n")) ==
        "text here");
  CHECK(LastLoggedErrorIn(Line("error", "real") + Line("error", " \\n")) ==
        "real");
}

TEST_CASE("Lines that are no log lines are passed over") {
  CHECK(LastLoggedErrorIn("not json\n[]\n7\n\"error\"\n\n" +
                          Line("error", "real") +
                          "{\"level\":\"error\"}\n"
                          "{\"level\":\"error\",\"msg\":7}\n"
                          "{\"level\":7,\"msg\":\"x\"}\n"
                          "{\"level\":\"error\",\"msg\":\"cut sh") == "real");
}

TEST_CASE("A last line without its end counts") {
  const std::string line = Line("error", "whole");
  CHECK(LastLoggedErrorIn(line.substr(0, line.size() - 1)) == "whole");
}

TEST_CASE("Only what was logged since is looked at") {
  TempDirectory directory;
  const std::string path = directory / "log.json";
  const std::string old = Line("error", "old");
  REQUIRE(ReplaceFile(path, old, 0600).ok());
  CHECK(*LastLoggedError(path, 0) == "old");
  CHECK(LastLoggedError(path, old.size())->empty());
  REQUIRE(ReplaceFile(path, old + Line("error", "new"), 0600).ok());
  CHECK(*LastLoggedError(path, old.size()) == "new");
  // Replaced by a shorter one.
  REQUIRE(ReplaceFile(path, Line("error", "n"), 0600).ok());
  CHECK(*LastLoggedError(path, 10'000) == "n");
  CHECK(absl::IsNotFound(LastLoggedError(directory / "none", 0).status()));
}

}  // namespace
}  // namespace hydra
