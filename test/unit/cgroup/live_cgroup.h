// A real cgroup with processes of the test's in it.

#ifndef HYDRA_TEST_UNIT_CGROUP_LIVE_CGROUP_H_
#define HYDRA_TEST_UNIT_CGROUP_LIVE_CGROUP_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "shim/cgroup/cgroup.h"

namespace hydra {

// Ends the program with ctest's "skipped" and the reason on standard error. No
// destructor runs: what the test has made is to be removed before.
[[noreturn]] void SkipTest(std::string_view reason);

// Skips the test unless this process may make cgroups.
void NeedCgroups();

// Polls `condition` for ten seconds at most; what it last was.
bool Eventually(const std::function<bool()>& condition);

// A cgroup of this machine, in every v1 hierarchy or in the v2 one, with a name
// of its own. It is removed with the object, and its processes with it.
class LiveCgroup final {
 public:
  LiveCgroup();
  LiveCgroup(const LiveCgroup&) = delete;
  LiveCgroup& operator=(const LiveCgroup&) = delete;
  ~LiveCgroup();

  // From the root of each hierarchy.
  const std::string& path() const { return path_; }

  // Forks a child that calls `run` in the cgroup, and then waits to be killed.
  // Returns when `run` has returned, or the child has died in it.
  pid_t Spawn(const std::function<void()>& run);

  // Waits for a child to end by itself; the status as waitpid(2) has it, -1
  // if it has not ended after ten seconds.
  int Reap(pid_t pid);

  // Kills and reaps what is left, and removes the cgroup. False if a part of
  // it could not be removed in ten seconds.
  bool Remove();

 private:
  std::string path_;
  std::vector<pid_t> children_;
};

// Writes to a file of the cgroup; false if it cannot.
bool WriteControl(const std::string& directory, const char* name,
                  std::string_view value);

// Touches `bytes` of new memory.
void UseMemory(size_t bytes);

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_CGROUP_LIVE_CGROUP_H_
