// Where the benchmark runs, and what it compares.

#ifndef HYDRA_TEST_BENCH_SETUP_H_
#define HYDRA_TEST_BENCH_SETUP_H_

#include <string>
#include <vector>

namespace hydra::bench {

// One of the two shims that are compared.
struct Subject {
  // As `ctr run --runtime` wants it, such as io.containerd.runc.v2.
  std::string runtime;
  // The last two parts of `runtime`, such as runc-v2: what reports say.
  std::string name;
  // The shim's file name, by containerd's rule.
  std::string shim;
  // File names of all that runs for a container and is not the container.
  std::vector<std::string> executables;
  // That of these which leaves when there is nothing to do, and of which
  // another takes the place when it dies; empty if there is no such thing.
  std::string head;
};

// Everything is made by run.sh, and belongs to this run alone.
struct Setup {
  std::vector<Subject> subjects;
  // containerd's configuration, and what that says: its socket and its state
  // directory. Where it is to log.
  std::string config;
  std::string address;
  std::string state;
  std::string log;
  std::string containerd_namespace;
  std::string image;
  std::string snapshotter;
  // A directory with a busybox, not to be written to.
  std::string rootfs;
  // For whatever the cases need.
  std::string work;
};

}  // namespace hydra::bench

#endif  // HYDRA_TEST_BENCH_SETUP_H_
