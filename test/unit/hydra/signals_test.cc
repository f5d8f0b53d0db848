#include "cmd/hydra/signals.h"

#include <signal.h>

#include <catch2/catch.hpp>

namespace hydra::command {
namespace {

TEST_CASE("signals by name and number", "[hydra]") {
  for (const auto& [text, number] :
       std::vector<std::pair<std::string, int>>{{"KILL", SIGKILL},
                                                {"SIGKILL", SIGKILL},
                                                {"sigterm", SIGTERM},
                                                {"9", 9},
                                                {"RTMIN", SIGRTMIN},
                                                {"RTMIN+3", SIGRTMIN + 3},
                                                {"SIGRTMAX-1", SIGRTMAX - 1},
                                                {"64", 64}}) {
    CAPTURE(text);
    const absl::StatusOr<int> parsed = ParseSignal(text);
    REQUIRE(parsed.ok());
    CHECK(*parsed == number);
  }
  for (const char* text : {"", "0", "65", "-1", "BOGUS", "SIG", "RTMIN-1",
                           "RTMIN+99", "RTMAX+1", "9x"}) {
    CAPTURE(text);
    CHECK(absl::IsInvalidArgument(ParseSignal(text).status()));
  }
}

}  // namespace
}  // namespace hydra::command
