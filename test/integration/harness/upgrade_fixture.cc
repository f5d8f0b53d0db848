#include "test/integration/harness/upgrade_fixture.h"

#include <catch2/catch.hpp>

#include "test/integration/harness/files.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {

Arguments UpgradeTest::UpgradeCommand(const Arguments& arguments) const {
  return Join({shim(), "upgrade"}, arguments);
}

Arguments UpgradeTest::UpgradeAllCommand(const Arguments& more) {
  return UpgradeCommand(
      Join({"--namespace", containerd().ns(), "--format", "json"}, more));
}

UpgradeTest::Reports UpgradeTest::ParseReports(const std::string& output) {
  Reports reports;
  for (const std::string& line : Lines(output)) {
    const auto report = nlohmann::json::parse(line);
    reports[report["id"]] = report;
  }
  return reports;
}

UpgradeTest::Reports UpgradeTest::Upgrade(int expected_status,
                                          const Arguments& more) {
  const Result result = Run(UpgradeAllCommand(more));
  CAPTURE(result.out, result.err);
  CHECK(result.status == expected_status);
  return ParseReports(result.out);
}

pid_t UpgradeTest::Monitor(const std::string& id) {
  for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
    if (process.command.rfind("hydra-monitor", 0) == 0 &&
        process.command.find(" -id " + id + " ") != std::string::npos) {
      return process.pid;
    }
  }
  return 0;
}

}  // namespace hydra::testing
