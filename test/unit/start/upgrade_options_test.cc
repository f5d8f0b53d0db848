// The command line of `upgrade`, the instances that it means, its reports.

#include "cmd/containerd-shim-hydra-v1/upgrade_options.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cmd/containerd-shim-hydra-v1/upgrade_report.h"
#include "shim/base/status.h"

namespace hydra {
namespace {

using std::chrono::milliseconds;

TEST_CASE("upgrade takes its options", "[upgrade]") {
  const auto options = ParseUpgradeOptions(
      {"--namespace", "ns", "--format=json", "-timeout", "500ms", "--parallel",
       "3", "--monitor", "/m", "--head=/h", "--dry-run", "a", "--", "-b"});
  REQUIRE(options.ok());
  CHECK(options->container_namespace == "ns");
  CHECK(options->json);
  CHECK(options->timeout == milliseconds(500));
  CHECK(options->parallel == 3);
  CHECK(options->monitor == "/m");
  CHECK(options->head == "/h");
  CHECK(options->dry_run);
  CHECK_FALSE(options->all);
  CHECK(options->names == std::vector<std::string>{"a", "-b"});
  const auto defaults = ParseUpgradeOptions({"--all"});
  REQUIRE(defaults.ok());
  CHECK(defaults->all);
  CHECK(defaults->timeout == milliseconds(30'000));
  CHECK(ParseUpgradeOptions({"--all", "--timeout", "7"})->timeout ==
        milliseconds(7000));
  CHECK(ParseUpgradeOptions({"--help"})->help);
}

TEST_CASE("upgrade refuses a command line that makes no sense", "[upgrade]") {
  const std::vector<std::vector<std::string>> bad = {
      {},
      {"--dry-run"},
      {"--all", "c1"},
      {"--all", "--format", "xml"},
      {"--all", "--format"},
      {"--all", "--timeout", "soon"},
      {"--all", "--timeout", "0"},
      {"--all", "--timeout", "-1s"},
      {"--all", "--parallel", "0"},
      {"--all", "--parallel", "1x"},
      {"--fly", "c1"},
      {"--fly=high"}};
  for (const auto& arguments : bad) {
    CAPTURE(arguments);
    CHECK(absl::IsInvalidArgument(ParseUpgradeOptions(arguments).status()));
  }
}

class SelectionTest {
 protected:
  std::vector<std::string> Select(const std::vector<std::string>& arguments) {
    const auto selected =
        SelectInstances(*ParseUpgradeOptions(arguments), found_);
    status_ = selected.status();
    std::vector<std::string> names;
    if (!selected.ok()) return names;
    for (const auto& instance : *selected) {
      names.push_back(instance.engine + "/" + instance.container_namespace +
                      "/" + instance.id);
    }
    return names;
  }

  const std::vector<FoundInstance> found_ = {{"e1", "blue", "c1", "/s1"},
                                             {"e2", "blue", "c1", "/s2"},
                                             {"e1", "blue", "c2", "/s3"},
                                             {"e1", "red", "c1", "/s4"},
                                             {"e1", "red", "c3", "/s5"}};
  absl::Status status_;
};

using Names = std::vector<std::string>;

TEST_CASE_METHOD(SelectionTest, "Instances are selected by name and namespace",
                 "[upgrade]") {
  CHECK(Select({"--all"}).size() == 5);
  CHECK(Select({"--namespace", "red"}) == Names{"e1/red/c1", "e1/red/c3"});
  CHECK(Select({"c2"}) == Names{"e1/blue/c2"});
  CHECK(Select({"c1", "--namespace", "red"}) == Names{"e1/red/c1"});
  CHECK(Select({"red/c1", "e2/blue/c1", "red/c1"}) ==
        Names{"e2/blue/c1", "e1/red/c1"});
  CHECK(Select({"--namespace", "green"}).empty());
  CHECK(status_.ok());
}

TEST_CASE_METHOD(SelectionTest, "A name that is not unique lists what it is",
                 "[upgrade]") {
  Select({"c1"});
  CHECK(absl::IsInvalidArgument(status_));
  CHECK(Message(status_) ==
        "instance c1: which of these? e1/blue/c1 e2/blue/c1 e1/red/c1");
  Select({"blue/c1"});
  CHECK(absl::IsInvalidArgument(status_));
  Select({"c9"});
  CHECK(absl::IsNotFound(status_));
}

UpgradeReport SomeReport() {
  UpgradeReport report;
  report.instance = {"e1", "k8s.io", "abc", "/s"};
  report.response.set_monitor_from("0.1.0");
  report.response.set_monitor_to("0.2.0");
  report.response.set_head_from("0.1.0");
  report.response.set_head_to("0.2.0");
  report.response.set_pause(3'140'000);
  report.duration = milliseconds(12);
  return report;
}

TEST_CASE("A report is a line", "[upgrade]") {
  UpgradeReport report = SomeReport();
  CHECK(ReportLine(report) ==
        "k8s.io/abc  upgraded 0.1.0 -> 0.2.0 in 12 ms (pause 3.1 ms)\n");
  report.response.set_head_from("0.1.1");
  report.dry_run = true;
  CHECK(ReportLine(report) ==
        "k8s.io/abc  would upgrade monitor 0.1.0 -> 0.2.0, head 0.1.1 -> "
        "0.2.0\n");
  report.status = FailedPrecondition("no");
  CHECK(ReportLine(report).find(
            "k8s.io/abc  failed, runs on as it was: no. What to do: ") == 0);
  // Nothing is known of these.
  report.status = MakeError(absl::StatusCode::kDeadlineExceeded, "late");
  CHECK(ReportLine(report).find("k8s.io/abc  failed: late. What to do: ") == 0);
}

TEST_CASE("A report is an object", "[upgrade]") {
  UpgradeReport report = SomeReport();
  auto json = nlohmann::json::parse(ReportJson(report));
  CHECK(json["namespace"] == "k8s.io");
  CHECK(json["id"] == "abc");
  CHECK(json["engine"] == "e1");
  CHECK(json["result"] == "upgraded");
  CHECK(json["monitor_to"] == "0.2.0");
  CHECK(json["pause_ms"] == 3.14);
  CHECK(json["duration_ms"] == 12);
  report.status = Internal("bytes: \xff");
  json = nlohmann::json::parse(ReportJson(report));
  CHECK(json["result"] == "failed");
  CHECK(json["code"] == 13);
  CHECK(json["error"].get<std::string>().find("bytes: ") == 0);
  CHECK_FALSE(json["advice"].get<std::string>().empty());
  CHECK_FALSE(json.contains("monitor_to"));
}

}  // namespace
}  // namespace hydra
