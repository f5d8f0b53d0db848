#include "cmd/containerd-shim-hydra-v1/upgrade_report.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "shim/base/status.h"

namespace hydra {
namespace {

double ToMs(std::chrono::nanoseconds time) {
  return static_cast<double>(time.count()) / 1e6;
}

std::string ShowMs(double ms) {
  char text[32];
  snprintf(text, sizeof(text), ms < 10 ? "%.1f ms" : "%.0f ms", ms);
  return text;
}

std::string ShowVersions(const v1::UpgradeResponse& response) {
  const std::string monitor =
      response.monitor_from() + " -> " + response.monitor_to();
  const std::string head = response.head_from() + " -> " + response.head_to();
  return monitor == head ? monitor : "monitor " + monitor + ", head " + head;
}

// Whether it is known that nothing has changed.
bool RunsOn(const absl::Status& status) {
  return !absl::IsDeadlineExceeded(status) && !absl::IsUnavailable(status);
}

std::string_view AdviceFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return "see whether its hydra-monitor runs; if not, its engine removes "
             "the container at its next contact";
    case absl::StatusCode::kDeadlineExceeded:
      return "it may still come: try again, with a longer --timeout";
    case absl::StatusCode::kUnimplemented:
      return "its programs are of a release that cannot be upgraded in place; "
             "they are replaced when the container is created anew";
    case absl::StatusCode::kAborted:
      return "try again later";
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
      return "install working programs at that path, or name others with "
             "--monitor and --head, and try again";
    case absl::StatusCode::kInvalidArgument:
      return "correct the command line";
    default:
      return "see the instance's log, and report it";
  }
}

}  // namespace

std::string ReportLine(const UpgradeReport& report) {
  std::string line =
      report.instance.container_namespace + "/" + report.instance.id + "  ";
  if (!report.status.ok()) {
    line += RunsOn(report.status) ? "failed, runs on as it was: " : "failed: ";
    line += Message(report.status) + ". What to do: ";
    return line.append(AdviceFor(report.status)) + "\n";
  }
  line += report.dry_run ? "would upgrade " : "upgraded ";
  line += ShowVersions(report.response);
  if (!report.dry_run) {
    line += " in " + ShowMs(ToMs(report.duration)) + " (pause " +
            ShowMs(static_cast<double>(report.response.pause()) / 1e6) + ")";
  }
  return line + "\n";
}

std::string ReportJson(const UpgradeReport& report) {
  nlohmann::ordered_json object;
  object["namespace"] = report.instance.container_namespace;
  object["id"] = report.instance.id;
  object["engine"] = report.instance.engine;
  if (report.status.ok()) {
    object["result"] = report.dry_run ? "would upgrade" : "upgraded";
    object["monitor_from"] = report.response.monitor_from();
    object["monitor_to"] = report.response.monitor_to();
    object["head_from"] = report.response.head_from();
    object["head_to"] = report.response.head_to();
    object["pause_ms"] = static_cast<double>(report.response.pause()) / 1e6;
  } else {
    object["result"] = "failed";
    object["code"] = static_cast<int>(report.status.code());
    object["error"] = Message(report.status);
    object["advice"] = AdviceFor(report.status);
  }
  object["duration_ms"] = ToMs(report.duration);
  // A text that is no UTF-8 comes from a program that is not ours.
  return object.dump(-1, ' ', false,
                     nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

}  // namespace hydra
