#include "cmd/hydra/terminal.h"

#include <catch2/catch.hpp>

namespace hydra::command {
namespace {

DetachScanner Scanner(const std::string& keys) {
  const absl::StatusOr<DetachScanner> scanner = DetachScanner::Parse(keys);
  REQUIRE(scanner.ok());
  return *scanner;
}

TEST_CASE("the detach keys are found", "[hydra][terminal]") {
  DetachScanner scanner = Scanner("ctrl-p,ctrl-q");
  CHECK(scanner.Scan("ab\x10\x11") == "ab");
  CHECK(scanner.detached());
  // What comes behind them is nobody's.
  CHECK(scanner.Scan("c").empty());

  scanner = Scanner("ctrl-p,ctrl-q");
  CHECK(scanner.Scan("a\x10") == "a");
  CHECK_FALSE(scanner.detached());
  CHECK(scanner
            .Scan("\x11"
                  "b")
            .empty());
  CHECK(scanner.detached());
}

TEST_CASE("what only begins as the detach keys is passed on",
          "[hydra][terminal]") {
  DetachScanner scanner = Scanner("ctrl-p,ctrl-q");
  CHECK(scanner.Scan("\x10").empty());
  CHECK(scanner.Scan("x") == "\x10x");
  CHECK(scanner.Scan("\x11") == "\x11");
  // The first key twice: the second may be the beginning.
  CHECK(scanner.Scan("\x10\x10") == "\x10");
  CHECK(scanner.Scan("\x11").empty());
  CHECK(scanner.detached());
}

TEST_CASE("keys that overlap themselves", "[hydra][terminal]") {
  DetachScanner scanner = Scanner("a,a,b");
  CHECK(scanner.Scan("aaa") == "a");
  CHECK(scanner.Scan("b").empty());
  CHECK(scanner.detached());
  scanner = Scanner("a,b,a,c");
  CHECK(scanner.Scan("ababac") == "ab");
  CHECK(scanner.detached());
}

TEST_CASE("forms of detach keys", "[hydra][terminal]") {
  DetachScanner none = Scanner("");
  CHECK(none.Scan("\x10\x11x") == "\x10\x11x");
  CHECK_FALSE(none.detached());
  DetachScanner one = Scanner("q");
  CHECK(one.Scan("abq") == "ab");
  CHECK(one.detached());
  DetachScanner mixed = Scanner("ctrl-A,d");
  CHECK(mixed
            .Scan("\x01"
                  "d")
            .empty());
  CHECK(mixed.detached());
  DetachScanner escape = Scanner("ctrl-[");
  (void)escape.Scan("\x1b");
  CHECK(escape.detached());
  for (const char* keys : {"ctrl-", "ctrl-1", "ab", "ctrl-p,", "ctrl-pq"}) {
    CAPTURE(keys);
    CHECK(absl::IsInvalidArgument(DetachScanner::Parse(keys).status()));
  }
}

}  // namespace
}  // namespace hydra::command
