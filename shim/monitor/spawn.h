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
  // The program: a path, or a name that is looked up in PATH: the one of `env`,
  // and with no `env` our own. Null: argv[0].
  const char* path = nullptr;
  std::vector<const char*> argv;  // Without the terminating null pointer.
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
  // The child's working directory, or null for ours.
  const char* directory = nullptr;
  // Null, or what the child starts as a child of its own before it executes its
  // program, so that both load at once; in its session and directory unless it
  // has its own. The digits of that one's pid, and a null byte, are written to
  // `first_pid`, of kPidText bytes, which may be one of argv.
  const SpawnArgs* first = nullptr;
  char* first_pid = nullptr;
};

inline constexpr size_t kPidText = 12;

// The highest target, plus one.
inline constexpr int kMaxSpawnTarget = 256;

// Returns 0 and the child's pid, or an errno: EINVAL for no program or a
// target out of range, those of clone(2), execve(2), dup(2) and chdir(2), for
// `first` or for the child. Where only the child fails, `first` has been
// started, and is nobody's.
// The child leads a session of its own, has default signal dispositions and an
// empty signal mask.
int SpawnProcess(const SpawnArgs& args, pid_t* pid);

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_SPAWN_H_
