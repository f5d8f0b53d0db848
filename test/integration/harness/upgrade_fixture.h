// What tests of upgrades stand on: Hydra installed for themselves, and the
// command that upgrades their instances.
//
// Main thread only.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_UPGRADE_FIXTURE_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_UPGRADE_FIXTURE_H_

#include <sys/types.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "test/integration/harness/fixture.h"
#include "test/integration/harness/installation.h"

namespace hydra::testing {

// Base from member: the engine is to find what is installed here.
class UpgradeTest : public Installation, public IntegrationTest {
 public:
  // By id.
  using Reports = std::map<std::string, nlohmann::json>;

  // `upgrade ARGUMENTS`, by the program that is installed now.
  Arguments UpgradeCommand(const Arguments& arguments) const;
  // The same of all of this test's instances, for ParseReports.
  Arguments UpgradeAllCommand(const Arguments& more = {});
  static Reports ParseReports(const std::string& output);

  Result Command(const Arguments& arguments) const {
    return Run(UpgradeCommand(arguments));
  }
  Reports Upgrade(int expected_status = 0, const Arguments& more = {});

  // 0 if there is none.
  pid_t Monitor(const std::string& id);
  // Whether it is that of InstallNext().
  static bool IsNext(const std::string& version) {
    return version.find("+next") != std::string::npos;
  }
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_UPGRADE_FIXTURE_H_
