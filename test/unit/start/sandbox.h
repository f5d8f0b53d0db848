// A place to run the shim in: a bundle, a run directory, a root for the OCI
// runtime; all under one temporary directory that is removed at the end.

#ifndef HYDRA_TEST_UNIT_START_SANDBOX_H_
#define HYDRA_TEST_UNIT_START_SANDBOX_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "shim/state/paths.h"

namespace hydra::test {

struct Outcome {
  int exit_status = -1;
  std::string output;
  std::string errors;
};

class Sandbox {
 public:
  static constexpr char kId[] = "c1";
  static constexpr char kNamespace[] = "ns";
  static constexpr char kAddress[] = "/run/engine.sock";

  // The bundle has a config.json.
  Sandbox();
  // Kills the monitor, and checks that no process of the test is left.
  ~Sandbox();

  const std::string& root() const { return root_; }
  std::string bundle() const { return root_ + "/bundles/c1"; }
  InstancePaths paths() const;
  // Set for the shim, and by it for its monitor.
  std::map<std::string, std::string> environment;

  // Whether the shim's standard output has a reader.
  bool reads_output = true;

  // Runs `<shim> -namespace ns -id c1 -address … <arguments>` in the bundle.
  Outcome Run(const std::vector<std::string>& arguments,
              const std::string& input = {}) const;
  // The same without those flags.
  Outcome RunBare(const std::vector<std::string>& arguments,
                  const std::string& input = {}) const;

  void Write(const std::string& name, const std::string& text) const;
  std::string Read(const std::string& name) const;
  // The lines of the fake monitor's report.
  std::vector<std::string> Report() const;
  // Its pid from monitor.pid, or 0.
  pid_t MonitorPid() const;
  // Nothing is under the run directory.
  bool IsClean() const;

 private:
  std::string root_;
};

// Whether `pid` lives (a zombie does not), once it had `timeout_ms` to end.
bool IsRunning(pid_t pid, int timeout_ms = 0);

bool Contains(const std::vector<std::string>& lines, const std::string& line);

std::vector<std::string> LinesOf(const std::string& path);

}  // namespace hydra::test

#endif  // HYDRA_TEST_UNIT_START_SANDBOX_H_
