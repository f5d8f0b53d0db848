// A private containerd: own directories, own sockets, own namespace.
//
// Everything it and its shims make carries mark(), a name that occurs nowhere
// else, so that leftovers.h can find it. Main thread only: what cannot be set
// up fails the running test.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_CONTAINERD_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_CONTAINERD_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "shim/base/unique_fd.h"
#include "test/integration/harness/engine.h"
#include "test/integration/harness/session.h"

namespace hydra::testing {

// The runtime under test: $HYDRA_TEST_RUNTIME, by default Hydra's.
std::string TestRuntime();
inline constexpr char kReferenceRuntime[] = "io.containerd.runc.v2";
inline constexpr char kHydraRuntime[] = "io.containerd.hydra.v1";

// Where hydra's programs are: $HYDRA_TEST_BIN_DIR, by default the build's.
std::string BinaryDirectory();
// The shim's program of `runtime`, by containerd's rule for names.
std::string ShimProgram(const std::string& runtime);
// That program as containerd of `engine` finds it, in BinaryDirectory() or in
// the engine's path; its bare name if it is not there.
std::string FindShim(const std::string& runtime, const Engine& engine);

class Containerd;

struct ContainerdOptions {
  // The namespace of its containers; mark() if it is empty.
  std::string ns = {};
  Engine engine = TestEngine();
  // With CRI, which is off otherwise: what to add to the configuration. It is
  // asked at every start.
  std::function<std::string(const Containerd&)> cri = nullptr;
  // Hydra's state lies below directory(). For namespaces that others use too.
  bool private_state = false;
  // In a network namespace of its own.
  bool private_network = false;
};

class Containerd final {
 public:
  // Creates the directories and starts.
  explicit Containerd(ContainerdOptions options = {});
  // Stops, then kills and removes whatever is left.
  ~Containerd();
  Containerd(const Containerd&) = delete;
  Containerd& operator=(const Containerd&) = delete;

  // The name that only this instance's things carry.
  const std::string& mark() const { return mark_; }
  const std::string& ns() const { return ns_; }
  const std::string& directory() const { return directory_; }
  const Engine& engine() const { return options_.engine; }
  std::string socket() const { return directory_ + "/c.sock"; }
  std::string ttrpc_socket() const { return socket() + ".ttrpc"; }
  std::string fifo_directory() const { return directory_ + "/fifo"; }
  std::string hydra_directory() const { return directory_ + "/h"; }
  pid_t pid() const { return process_ == nullptr ? -1 : process_->pid(); }

  std::string bundle(const std::string& id) const;
  // The shim's socket, as the bundle's `address` or `bootstrap.json` has it,
  // without "unix://"; empty if there is none.
  std::string shim_socket(const std::string& id) const;

  // Starts and waits until it accepts connections.
  void Start();
  // The same with the programs of another engine, on the same directories.
  void Start(const Engine& engine);
  // SIGTERM; SIGKILL after 10 s.
  void Stop();
  // SIGKILL, as a crash.
  void Kill();

  // ctr's arguments for this instance, `arguments` after them.
  std::vector<std::string> CtrCommand(
      const std::vector<std::string>& arguments) const;

  // The end of its log, for a failed test's message.
  std::string LogTail(size_t bytes = 4000) const;

  // See FindLeftovers; containerd itself does not count.
  std::vector<std::string> Leftovers() const;
  // What still is left when shims have had time to end: by default what one may
  // take after its task was deleted.
  std::vector<std::string> AwaitNoLeftovers(
      Milliseconds limit = Milliseconds(10'000)) const;
  // A Catch2 failure, with all of it, if that is anything.
  void CheckLeftovers() const;

 private:
  std::string Configuration() const;

  ContainerdOptions options_;
  std::string mark_;
  std::string ns_;
  std::string directory_;
  UniqueFd log_;
  std::unique_ptr<Session> process_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_CONTAINERD_H_
