#include "cmd/containerd-shim-hydra-v1/command.h"

#include <sys/wait.h>

#include <catch2/catch.hpp>

#include "shim/base/status.h"

namespace hydra {
namespace {

using std::chrono::seconds;

TEST_CASE("a command's output, errors and status are told", "[command]") {
  const auto result =
      RunCommand({"sh", "-c", "echo out; echo err >&2; exit 3"}, seconds(10));
  REQUIRE(result.ok());
  CHECK(result->output == "out\n");
  CHECK(result->errors == "err\n");
  CHECK(WEXITSTATUS(result->wait_status) == 3);
  CHECK_FALSE(result->ok());
}

TEST_CASE("a command that is not there is NotFound and named", "[command]") {
  const auto result = RunCommand({"no-such-runtime"}, seconds(10));
  CHECK(absl::IsNotFound(result.status()));
  CHECK(Message(result.status()).find("no-such-runtime") != std::string::npos);
}

TEST_CASE("a command that takes too long is killed", "[command]") {
  const auto result = RunCommand({"sleep", "1000"}, seconds(0));
  CHECK(absl::IsDeadlineExceeded(result.status()));
}

TEST_CASE("a command that prints without end is killed", "[command]") {
  const auto result = RunCommand({"yes"}, seconds(60));
  CHECK(absl::IsResourceExhausted(result.status()));
}

TEST_CASE("much on standard error keeps its end", "[command]") {
  const auto result = RunCommand(
      {"sh", "-c", "yes x | head -c 1000000 >&2; echo last >&2"}, seconds(60));
  REQUIRE(result.ok());
  CHECK(result->errors.size() <= 4096);
  CHECK(result->errors.substr(result->errors.size() - 5) == "last\n");
}

TEST_CASE("a descendant that keeps the output open is not waited for",
          "[command]") {
  const auto begin = std::chrono::steady_clock::now();
  const auto result =
      RunCommand({"sh", "-c", "sleep 2 & echo out"}, seconds(60));
  REQUIRE(result.ok());
  CHECK(result->output == "out\n");
  CHECK(std::chrono::steady_clock::now() - begin < seconds(2));
}

}  // namespace
}  // namespace hydra
