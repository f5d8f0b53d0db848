#include "shim/runtime/output_options.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shim/base/status.h"
#include "shim/runtime/options.h"

namespace hydra {
namespace {

using link::SpoolPolicy;

TEST_CASE("spools have defaults", "[runtime][spool]") {
  const auto result = ParseOptionsToml("", "f");
  REQUIRE(result.ok());
  CHECK(result->output.spool_policy == SpoolPolicy::kBlock);
  CHECK(result->output.spool_max_bytes == 64 << 20);
  CHECK(result->output.spool_stall_ms == 20);
}

TEST_CASE("the spool's table is understood", "[runtime][spool]") {
  auto result = ParseOptionsToml(
      "Root = \"/r\"\n[spool]\npolicy = \"drop-oldest\"\n"
      "max_bytes = 65536\nstall_ms = 5\nnope = 1\n",
      "f");
  REQUIRE(result.ok());
  CHECK(result->output.spool_policy == SpoolPolicy::kDropOldest);
  CHECK(result->output.spool_max_bytes == 65536);
  CHECK(result->output.spool_stall_ms == 5);
  CHECK(result->options.root() == "/r");
  REQUIRE(result->warnings.size() == 1);
  CHECK(result->warnings[0] ==
        "runtime options f: unknown key spool.nope, ignoring");
  result = ParseOptionsToml("[spool]\nmax_bytes = \"2G\"", "f");
  REQUIRE(result.ok());
  CHECK(result->output.spool_max_bytes == uint64_t{2} << 30);
}

TEST_CASE("a wrong value of the spool's table is named", "[runtime][spool]") {
  const std::string context = "parse runtime options f: ";
  for (const auto& [text, message] :
       std::vector<std::pair<const char*, const char*>>{
           {"spool = 1", "spool is no table"},
           {"[spool]\npolicy = true",
            "spool.policy is not a string or an integer"},
           {"[spool]\npolicy = \"Block\"",
            "spool.policy: \"Block\" is not \"block\" or \"drop-oldest\""},
           {"[spool]\nmax_bytes = -1",
            "spool.max_bytes: \"-1\" is not 0 or a size from 64k to 1024g"},
           {"[spool]\nstall_ms = 0",
            "spool.stall_ms: \"0\" is not a number from 1 to 10000"}}) {
    const auto result = ParseOptionsToml(text, "f");
    CHECK(absl::IsInvalidArgument(result.status()));
    CHECK(Message(result.status()) == context + message);
  }
}

TEST_CASE("annotations win over the options", "[runtime][spool]") {
  OutputOptions options;
  options.spool_max_bytes = 1 << 20;
  options.spool_stall_ms = 7;
  std::vector<std::string> warnings;
  REQUIRE(ApplyOutputAnnotations({{"io.hydra.spool.max-bytes", "128k"},
                                  {"io.hydra.spool.policy", "drop-oldest"},
                                  {"io.hydra.spool.polcy", "block"},
                                  {"io.hydra.spoolpolicy", "x"},
                                  {"other", "x"}},
                                 &options, &warnings)
              .ok());
  CHECK(options.spool_max_bytes == 128 << 10);
  CHECK(options.spool_policy == SpoolPolicy::kDropOldest);
  CHECK(options.spool_stall_ms == 7);
  CHECK(warnings == std::vector<std::string>{
                        "unknown annotation io.hydra.spool.polcy, ignoring"});
}

TEST_CASE("sizes", "[runtime][spool]") {
  for (const auto& [text, bytes] :
       std::vector<std::pair<const char*, uint64_t>>{
           {"0", 0},
           {"65536", 65536},
           {"64k", 65536},
           {"3M", 3 << 20},
           {"3mb", 3 << 20},
           {"64KiB", 65536},
           {"1024g", uint64_t{1} << 40}}) {
    CAPTURE(text);
    OutputOptions options;
    std::vector<std::string> warnings;
    CHECK(ApplyOutputAnnotations({{"io.hydra.spool.max-bytes", text}}, &options,
                                 &warnings)
              .ok());
    CHECK(options.spool_max_bytes == bytes);
  }
  for (const char* text :
       {"", "k", "1", "63k", "1025g", "-64k", "64 k", "64kbb", "0x100000",
        "1.5m", "99999999999999999999", "18446744073709551615g"}) {
    CAPTURE(text);
    OutputOptions options;
    std::vector<std::string> warnings;
    const absl::Status status = ApplyOutputAnnotations(
        {{"io.hydra.spool.max-bytes", text}}, &options, &warnings);
    CHECK(absl::IsInvalidArgument(status));
    CHECK(Message(status) == "annotation io.hydra.spool.max-bytes: \"" +
                                 std::string(text) +
                                 "\" is not 0 or a size from 64k to 1024g");
  }
}

}  // namespace
}  // namespace hydra
