// What an integration test stands on: a private containerd with the image,
// and the words that the scenarios are written in.
//
// Everything is per test case, and every test case ends with the same check:
// nothing is left behind. Main thread only, except where it says otherwise.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_FIXTURE_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_FIXTURE_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "hydra/v1/instance.pb.h"
#include "test/integration/harness/containerd.h"
#include "test/integration/harness/events.h"
#include "test/integration/harness/session.h"
#include "test/integration/harness/task_client.h"
#include "test/integration/harness/ttrpc_client.h"

namespace hydra::testing {

using Arguments = std::vector<std::string>;

// `first` and then `second`.
Arguments Join(Arguments first, const Arguments& second);

class IntegrationTest {
 public:
  explicit IntegrationTest(const std::string& runtime = TestRuntime(),
                           const Engine& engine = TestEngine());
  // Removes what tasks are left, and checks that nothing else is. After a
  // failure it prints the end of containerd's log instead.
  ~IntegrationTest();

  const std::string& runtime() const { return runtime_; }
  bool is_hydra() const { return runtime_ == kHydraRuntime; }
  Containerd& containerd() { return *containerd_; }
  // Subscribes at the first call.
  Events& events();
  // Subscribes anew, for after a restart of containerd.
  Events& NewEvents();

  // `ctr ARGUMENTS` to the end. Any thread.
  Result Ctr(const Arguments& arguments, const RunOptions& options = {}) const;
  // The same with a Catch2 failure if it does not exit with 0.
  std::string MustCtr(const Arguments& arguments) const;

  // The arguments of `ctr run FLAGS image ID COMMAND`, for Ctr or a Session.
  Arguments RunArguments(const std::string& id, const Arguments& command,
                         const Arguments& flags = {"--rm"}) const;
  Result RunContainer(const std::string& id, const Arguments& command,
                      const Arguments& flags = {"--rm"},
                      const RunOptions& options = {}) const;
  // `ctr run` of a shell script, with its whole output. The client library of
  // containerd 1.6.20 closes its ends of the FIFOs before they are empty
  // (task.Delete calls Close before Wait), so the container is kept from
  // ending until everything has come through. Any thread.
  Result RunScript(const std::string& id, const std::string& script,
                   const Arguments& flags = {"--rm"},
                   Milliseconds limit = kPatience) const;
  // `ctr run -d`, which must succeed, until `command` is what runs; standard
  // streams are /dev/null unless `flags` say otherwise.
  void StartDetached(const std::string& id, const Arguments& command,
                     const Arguments& flags = {"--null-io"}) const;
  Arguments ExecArguments(const std::string& id, const std::string& exec_id,
                          const Arguments& command,
                          const Arguments& flags = {}) const;
  Result Exec(const std::string& id, const std::string& exec_id,
              const Arguments& command, const Arguments& flags = {},
              const RunOptions& options = {}) const;

  // RUNNING, STOPPED, ... as `ctr tasks ls` has it; empty without a task.
  std::string TaskStatus(const std::string& id) const;
  pid_t TaskPid(const std::string& id) const;
  bool WaitForStatus(const std::string& id, const std::string& status,
                     Milliseconds limit = kPatience) const;
  // For a task that was deleted behind containerd's back, which ctr cannot
  // remove: ends its shim, whereupon containerd forgets the task.
  void SeeOff(TaskClient* task, const std::string& id) const;
  // Deletes a stopped task; the exit status that ctr reports for it, -1 if it
  // does not delete.
  int DeleteTask(const std::string& id) const;
  // Kills the task if there is one, deletes it and the container; how ctr ended
  // with the container. Any thread.
  Result Remove(const std::string& id) const;
  // The same for everything there is.
  void RemoveAll() const;

  // A ttrpc connection of the test's own to the shim of `id`.
  std::unique_ptr<TtrpcClient> Shim(const std::string& id) const;
  // What Hydra tells of the instance of `id`; the answer is its head's, which
  // it brings back if need be.
  v1::InspectResponse Inspect(const std::string& id) const;

 private:
  std::string runtime_;
  std::unique_ptr<Containerd> containerd_;
  std::unique_ptr<Events> events_;
};

// Ends a test case that this machine or this build cannot run; the reason is
// printed and counted, and with nothing else run the program exits with 77.
void NoteSkip(const std::string& reason);
int SkipCount();

#define HYDRA_SKIP(reason)              \
  do {                                  \
    ::hydra::testing::NoteSkip(reason); \
    return;                             \
  } while (false)

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_FIXTURE_H_
