// `check`, with which a monitor tries a head's program.

#include <catch2/catch.hpp>

#include "shim/base/version.h"
#include "shim/state/paths.h"
#include "shim/state/record.h"
#include "test/unit/start/sandbox.h"

namespace hydra::test {
namespace {

TEST_CASE("check says whether the record can be read", "[check]") {
  Sandbox sandbox;
  // Before Create.
  Outcome outcome = sandbox.Run({"check"});
  CHECK(outcome.exit_status == 0);
  CHECK(outcome.output == std::string("ok ") + Version() + "\n");

  const InstancePaths paths = sandbox.paths();
  REQUIRE(MakeInstanceDirectory(paths).ok());
  state::Record record;
  record.set_format_version(kRecordVersion);
  record.set_boot_id(BootId());
  // What a later version may have added: a number, as field 1000.
  REQUIRE(record.ParseFromString(record.SerializeAsString() + "\xc0\x3e\x01"));
  REQUIRE(RecordFile(paths.state).Save(record).ok());
  CHECK(sandbox.Run({"check"}).exit_status == 0);

  record.set_format_version(kRecordVersion + 1);
  REQUIRE(RecordFile(paths.state).Save(record).ok());
  outcome = sandbox.Run({"check"});
  CHECK(outcome.exit_status == 1);
  CHECK(outcome.output.empty());
  CHECK(outcome.errors.find("is newer than") != std::string::npos);
  REQUIRE(RemoveInstance(paths).ok());
}

}  // namespace
}  // namespace hydra::test
