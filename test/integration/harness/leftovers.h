// What a private containerd and its shims leave on the machine.
//
// Every private containerd works under a directory and in a namespace whose
// name occurs nowhere else on the machine, so whatever mentions that name is
// its own, however many suites run side by side. Any thread.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_LEFTOVERS_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_LEFTOVERS_H_

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

namespace hydra::testing {

// Makes a directory below /tmp whose last name is such a mark. The first call
// also removes what killed suites have left. Fails the running test; main
// thread only.
std::string MakeMarkedDirectory();

struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent = 0;
  // Arguments joined with spaces; the name in brackets where there are none.
  std::string command;
};

// From /proc; 0 for a process that is not there.
pid_t ParentOf(pid_t pid);

// The processes that belong to `mark`: it stands in their arguments, their
// environment, their working directory or their cgroup. Zombies count.
std::vector<ProcessInfo> ProcessesOf(const std::string& mark);

// What is left of the instance `mark`, one line per thing: processes except
// `expected`, mounts, cgroups, entries of `runtime_directories` and of
// /run/hydra and /var/lib/hydra. Empty when nothing is left. An empty cgroup
// or directory that is named `mark` itself is the namespace's, made by runc
// or by containerd and removed by neither: it does not count.
std::vector<std::string> FindLeftovers(
    const std::string& mark, const std::set<pid_t>& expected,
    const std::vector<std::string>& runtime_directories);

// Kills and removes all that, the namespace's own cgroups and `directory`
// included.
void RemoveLeftovers(const std::string& mark, const std::string& directory);

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_LEFTOVERS_H_
