// The engine whose programs a test runs: the system's, or that of a Debian
// suite, unpacked beside the system by test/engines/fetch.sh.
//
// Main thread only.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_ENGINE_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_ENGINE_H_

#include <string>
#include <vector>

namespace hydra::testing {

class Engine final {
 public:
  // Of a suite such as "trixie"; of the system if that is empty.
  explicit Engine(std::string suite = {});

  const std::string& suite() const { return suite_; }
  // Why it cannot be had; empty if it can.
  std::string Missing() const;

  // For $PATH: its directories before those of the test's own $PATH.
  std::string Path() const;
  // The program as it is found in Path(); `name` itself if it is not.
  std::string Program(const std::string& name) const;
  // Of its CNI plugins, which are the same for all suites; empty if there are
  // none.
  std::string CniDirectory() const;

  // containerd's version, 0 if it does not tell.
  int major() const { return major_; }
  int minor() const { return minor_; }

 private:
  std::vector<std::string> Directories() const;

  std::string suite_;
  int major_ = 0;
  int minor_ = 0;
};

// That of $HYDRA_TEST_ENGINE, the suite's name.
const Engine& TestEngine();

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_ENGINE_H_
