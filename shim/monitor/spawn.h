// Starts a program with exactly the descriptors that it is given.
//
// Loop thread only. The child is made with CLONE_VM and CLONE_VFORK
// (clone(2)): no page table is copied, and the error of execve(2) comes back
// as an error of the call instead of an exit status. The price is that the
// loop stands still until the new program has been mapped.

#ifndef HYDRA_MONITOR_SPAWN_H_
#define HYDRA_MONITOR_SPAWN_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <vector>

namespace hydra::monitor {

struct SpawnArgs {
  // Without the terminating null pointer. argv[0] is a path, or a name that is
  // looked up in PATH: the one of `env`, and with no `env` our own.
  std::vector<const char*> argv;
  // The child's environment, or null for ours. No terminating null pointer.
  const std::vector<const char*>* env = nullptr;
  struct Descriptor {
    int source;
    int target;
  };
  // Sources and targets may overlap. Of 0 to 2, those that are no target are
  // /dev/null; all else is closed.
  std::vector<Descriptor> fds;
  // The child's RLIMIT_NOFILE, or null for ours.
  const rlimit* file_limit = nullptr;
};

// The highest target, plus one.
inline constexpr int kMaxSpawnTarget = 256;

// Returns 0 and the child's pid, or an errno: EINVAL for no program or a
// target out of range, those of clone(2), execve(2) and dup(2).
// The child leads a session of its own, has default signal dispositions and an
// empty signal mask.
int SpawnProcess(const SpawnArgs& args, pid_t* pid);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_SPAWN_H_
