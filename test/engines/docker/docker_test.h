// What a Docker test stands on: a private containerd, a dockerd on it with
// directories and a namespace of its own, and the docker command.
//
// dockerd runs with live-restore, and with no network to set up. Hydra is used
// as `--runtime io.containerd.hydra.v1`; Docker 20.10 knows no runtimes but
// runc's, so there Hydra has the name of containerd's own shim. Main thread
// only.

#ifndef HYDRA_TEST_ENGINES_DOCKER_DOCKER_TEST_H_
#define HYDRA_TEST_ENGINES_DOCKER_DOCKER_TEST_H_

#include <memory>
#include <string>
#include <vector>

#include "test/integration/harness/containerd.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/installation.h"

namespace hydra::testing {

// Whether Docker on this containerd can be told of a runtime that is not runc.
bool KnowsRuntimes(const Engine& engine);

class DockerTest {
 public:
  DockerTest();
  // Removes the containers, and checks that nothing else is left.
  ~DockerTest();

  static constexpr char kImageName[] = "test:1";
  // Hydra in daemon.json, with a file of options, which says that runc's state
  // is in directory() + "/runc".
  static constexpr char kNamedRuntime[] = "hydra";

  bool is_hydra() const { return TestRuntime() == kHydraRuntime; }
  Containerd& containerd() { return *containerd_; }
  const std::string& directory() const { return containerd_->directory(); }

  // kill -9 of dockerd and then of its containerd, and both again.
  void KillEngines();
  void StartEngines();

  Arguments Command(const Arguments& arguments) const;
  Result Docker(const Arguments& arguments,
                const RunOptions& options = {}) const;
  // Its output, without the line's end; FAILs if it does not succeed.
  std::string Must(const Arguments& arguments) const;
  // `docker run FLAGS image COMMAND`.
  Arguments RunArguments(const Arguments& flags,
                         const Arguments& command) const;
  // The same detached, and named.
  void StartDetached(const std::string& name, const Arguments& command,
                     const Arguments& flags = {}) const;
  // A field of `docker inspect`, such as ".State.Pid".
  std::string Inspect(const std::string& name, const std::string& field) const;
  bool WaitFor(const std::string& name, const std::string& field,
               const std::string& value) const;

 private:
  void WriteDaemonConfiguration() const;
  void StartDaemon();
  void ImportImage();

  std::unique_ptr<InTheReferencesPlace> place_;
  std::unique_ptr<Containerd> containerd_;
  UniqueFd log_;
  std::unique_ptr<Session> daemon_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_ENGINES_DOCKER_DOCKER_TEST_H_
