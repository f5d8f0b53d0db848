// What a test of the command `hydra` stands on: private directories, a root
// file system, and no engine.
//
// Everything is per test case and carries mark(), and every test case ends with
// the same check: nothing is left behind. Main thread only; what cannot be made
// fails the running test.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_CLI_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_CLI_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "test/integration/harness/fixture.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {

using Json = nlohmann::json;

// The objects of NDJSON; fails the running test if a line is none, or is not
// of the schema that the tests know.
std::vector<Json> ParseLines(const std::string& text);
// What the "output" objects of such a stream carry of `stream`.
std::string OutputOf(const std::vector<Json>& objects,
                     const std::string& stream);

class CliTest {
 public:
  CliTest();
  // Removes what containers are left, and checks that nothing else is.
  ~CliTest();
  CliTest(const CliTest&) = delete;
  CliTest& operator=(const CliTest&) = delete;

  // The name that only this test's things carry; also the namespace of its
  // containers.
  const std::string& mark() const { return mark_; }
  const std::string& directory() const { return directory_; }
  const std::string& rootfs() const { return rootfs_; }
  std::string run_directory() const { return directory_ + "/r"; }
  std::string state_directory() const { return directory_ + "/s"; }

  // The program, and these arguments in the test's namespace.
  Arguments Command(const Arguments& arguments) const;
  // For a Session of it: the private directories are in its environment.
  SessionOptions Options(bool terminal = false) const;

  // To the end.
  Result Hydra(const Arguments& arguments, const std::string& input = {}) const;
  // The same with a Catch2 failure if it does not exit with 0; its output.
  std::string Must(const Arguments& arguments) const;
  // The same with --format json, which must print one object.
  Json MustJson(const Arguments& arguments) const;
  std::vector<Json> MustLines(const Arguments& arguments) const;
  // With --format json it must fail with this status; the one object on
  // standard error.
  Json MustFail(const Arguments& arguments, int status) const;

  // `run FLAGS --rootfs ... COMMAND`.
  Arguments RunArguments(const Arguments& flags,
                         const Arguments& command) const;
  // `run -d --name NAME FLAGS ...`, which must succeed.
  void Start(const std::string& name, const Arguments& command,
             const Arguments& flags = {}) const;
  // A shell that echoes what it reads, and ends with 5 at "end".
  static Arguments EchoingShell();

  Json Inspect(const std::string& name) const;
  // "running", "exited", ...
  std::string StatusOf(const std::string& name) const;
  pid_t PidOf(const std::string& name) const;
  bool WaitForStatus(const std::string& name, const std::string& status) const;
  // Until its log holds `text`.
  bool WaitForLog(const std::string& name, const std::string& text) const;

 private:
  std::vector<std::string> Leftovers() const;

  std::string directory_;
  std::string mark_;
  std::string rootfs_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_CLI_H_
