#include "cmd/hydra/output.h"

#include <catch2/catch.hpp>

namespace hydra::command {
namespace {

Json DataOf(std::string_view data) {
  Json object;
  AddData(data, &object);
  return object;
}

TEST_CASE("bytes of a container as JSON", "[hydra]") {
  CHECK(DataOf("h\303\244\n") == Json{{"data", "h\303\244\n"}});
  CHECK(DataOf("") == Json{{"data", ""}});
  // Overlong, cut off, a surrogate, beyond the last: none of them is UTF-8.
  for (const char* bytes : {"\377", "\300\200", "a\303", "\355\240\200",
                            "\364\220\200\200", "\340\200\200"}) {
    CHECK_FALSE(DataOf(bytes).contains("data"));
    CHECK(DataOf(bytes).contains("data_base64"));
  }
  CHECK(DataOf("\377") == Json{{"data_base64", "/w=="}});
}

TEST_CASE("times, sizes and durations for people", "[hydra]") {
  CHECK(TimeText(0).empty());
  CHECK(TimeJson(0).is_null());
  CHECK(TimeText(1'700'000'000'000'000'007) ==
        "2023-11-14T22:13:20.000000007Z");
  CHECK(SizeText(0) == "0B");
  CHECK(SizeText(1023) == "1023B");
  CHECK(SizeText(1536) == "1.5KiB");
  CHECK(SizeText(64 << 20) == "64MiB");
  CHECK(DurationText(std::chrono::seconds(0)) == "0 seconds");
  CHECK(DurationText(std::chrono::seconds(1)) == "1 second");
  CHECK(DurationText(std::chrono::seconds(119)) == "119 seconds");
  CHECK(DurationText(std::chrono::hours(50)) == "2 days");
}

TEST_CASE("a table is as wide as what is in it", "[hydra]") {
  Table table({"A", "LONG"});
  table.Add({"xyz", "b"});
  CHECK(table.Text() == "A    LONG\nxyz  b\n");
}

}  // namespace
}  // namespace hydra::command
