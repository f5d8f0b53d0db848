// Hydra's programs, installed in a directory of the test's own, so that they
// can be replaced while they run, as a package manager does.
//
// Main thread only. To be made before the containerd that is to use them.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_INSTALLATION_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_INSTALLATION_H_

#include <string>

namespace hydra::testing {

class Installation {
 public:
  // Installs this version, and makes it BinaryDirectory().
  Installation();
  // Takes both back.
  ~Installation();
  Installation(const Installation&) = delete;
  Installation& operator=(const Installation&) = delete;

  // Replaces both programs: the file is another one afterwards.
  void InstallThis();
  // The test build whose state has another format (bin/next).
  void InstallNext();
  // Puts something else in the place of one.
  void Replace(const std::string& program, const std::string& content,
               unsigned mode = 0755);

  std::string monitor() const { return directory_ + "/hydra-monitor"; }
  std::string shim() const { return directory_ + "/containerd-shim-hydra-v1"; }
  std::string grpc() const { return directory_ + "/hydra-grpc"; }

 private:
  void InstallFrom(const std::string& directory);

  std::string built_;  // Where the build has put them.
  std::string before_;
  std::string directory_;
};

// BinaryDirectory() as long as this lives: one in which Hydra has the name of
// containerd's own shim, for engines that know no other.
class InTheReferencesPlace {
 public:
  InTheReferencesPlace();
  ~InTheReferencesPlace();
  InTheReferencesPlace(const InTheReferencesPlace&) = delete;
  InTheReferencesPlace& operator=(const InTheReferencesPlace&) = delete;

 private:
  std::string before_;
  std::string directory_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_INSTALLATION_H_
