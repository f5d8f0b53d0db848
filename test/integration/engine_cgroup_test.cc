// The engine's whole cgroup is killed, as systemd does it with a unit of
// KillMode=control-group: no monitor, head or container is in it.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <set>
#include <thread>

#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

// Where the hierarchies are mounted: v1's, with the v2 one of hybrid mode, or
// v2's alone.
std::vector<std::string> Hierarchies() {
  const std::string root = "/sys/fs/cgroup";
  if (fs::exists(root + "/cgroup.procs")) return {root};
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_directory() && fs::exists(entry.path() / "cgroup.procs")) {
      found.push_back(entry.path());
    }
  }
  return found;
}

std::set<pid_t> ProcessesIn(const std::string& cgroup) {
  std::set<pid_t> pids;
  for (const std::string& line :
       Lines(ReadFile(cgroup + "/cgroup.procs").value_or(""))) {
    pids.insert(std::stoi(line));
  }
  return pids;
}

// A place for containerd in every hierarchy: <name>/engine, so that what is
// beside it is this test's own, too.
class EngineCgroupTest : public IntegrationTest {
 public:
  EngineCgroupTest() {
    if (geteuid() != 0) return;
    for (const std::string& hierarchy : Hierarchies()) {
      const std::string top =
          hierarchy + "/hydra-test-" + std::to_string(getpid());
      if (!Make(hierarchy, top)) continue;
      REQUIRE(Make(top, top + "/engine"));
      tops_.push_back(top);
    }
    EnterEngine();
  }
  ~EngineCgroupTest() {
    RemoveAll();
    for (const std::string& top : tops_) {
      // What the fixture does after us needs containerd.
      (void)WriteFile(top + "/../cgroup.procs",
                      std::to_string(containerd().pid()));
      CAPTURE(top);
      // Refused while the cgroup of the monitors is there.
      CHECK(Eventually([&] {
        for (const char* name : {"/engine", "/chosen"}) {
          rmdir((top + name).c_str());
        }
        return rmdir(top.c_str()) == 0;
      }));
    }
  }

  const std::vector<std::string>& tops() const { return tops_; }

  void EnterEngine() {
    REQUIRE_FALSE(tops_.empty());
    for (const std::string& top : tops_) {
      REQUIRE(WriteFile(top + "/engine/cgroup.procs",
                        std::to_string(containerd().pid())));
    }
  }

  // The hierarchies, by name, in which `pid` is in the cgroup <top>/`name`.
  size_t CountIn(const std::string& name, pid_t pid) const {
    size_t count = 0;
    for (const std::string& top : tops_) {
      count += ProcessesIn(top + "/" + name).count(pid);
    }
    return count;
  }

  // Every process in the engine's cgroup and below, in any hierarchy, until
  // there is none.
  void KillEngineCgroup() {
    REQUIRE(CountIn("engine", containerd().pid()) == tops_.size());
    REQUIRE(Eventually([&] {
      bool empty = true;
      for (const std::string& top : tops_) {
        std::vector<std::string> all = {top + "/engine"};
        for (const auto& entry :
             fs::recursive_directory_iterator(all.front())) {
          if (entry.is_directory()) all.push_back(entry.path());
        }
        for (const std::string& cgroup : all) {
          for (const pid_t pid : ProcessesIn(cgroup)) {
            empty = false;
            kill(pid, SIGKILL);
          }
        }
      }
      return empty;
    }));
  }

 private:
  static bool Make(const std::string& parent, const std::string& directory) {
    if (mkdir(directory.c_str(), 0755) != 0) return false;
    // A new cpuset takes no process before it has these.
    for (const char* name : {"/cpuset.cpus", "/cpuset.mems"}) {
      const auto value = ReadFile(parent + name);
      if (value && fs::exists(parent + "/tasks")) {
        (void)WriteFile(directory + name, *value);
      }
    }
    return true;
  }

  std::vector<std::string> tops_;
};

pid_t HeadOf(const std::string& mark, pid_t monitor) {
  for (const ProcessInfo& process : ProcessesOf(mark)) {
    if (process.parent == monitor &&
        process.command.find("shim-hydra-v1 -namespace") != std::string::npos) {
      return process.pid;
    }
  }
  return 0;
}

TEST_CASE_METHOD(EngineCgroupTest,
                 "Killing the engine's cgroup ends no monitor, head, container",
                 "[engine][cgroup][hydra]") {
  struct Instance {
    std::string id;
    pid_t init, monitor, head;
  };
  std::vector<Instance> instances;
  for (const char* id : {"a", "b"}) {
    StartDetached(id, {"/bin/sleep", "1000"});
    Instance instance = {id, TaskPid(id), 0, 0};
    instance.monitor = ParentOf(instance.init);
    instance.head = HeadOf(containerd().mark(), instance.monitor);
    REQUIRE(instance.head > 0);
    for (const pid_t pid : {instance.init, instance.monitor, instance.head}) {
      CHECK(CountIn("engine", pid) == 0);
    }
    instances.push_back(instance);
  }
  const pid_t engine = containerd().pid();
  KillEngineCgroup();
  containerd().Kill();  // Reaps it.
  CHECK(kill(engine, 0) != 0);

  containerd().Start();
  EnterEngine();
  for (const Instance& instance : instances) {
    CAPTURE(instance.id);
    CHECK(TaskStatus(instance.id) == "RUNNING");
    CHECK(TaskPid(instance.id) == instance.init);
    CHECK(ParentOf(instance.init) == instance.monitor);
    CHECK(HeadOf(containerd().mark(), instance.monitor) == instance.head);
    CHECK(Exec(instance.id, "e", {"/bin/echo", "here"}).out == "here\n");
  }
}

TEST_CASE_METHOD(EngineCgroupTest, "shim_cgroup says where the monitor is",
                 "[engine][cgroup][hydra]") {
  const std::string top = fs::path(tops().front()).filename();
  const std::string file = containerd().directory() + "/options.toml";
  REQUIRE(WriteFile(file, "ShimCgroup = \"/" + top + "/chosen\"\n"));
  for (const std::string& directory : tops()) {
    // v2 wants it to exist.
    if (!fs::exists(directory + "/tasks")) {
      REQUIRE(mkdir((directory + "/chosen").c_str(), 0755) == 0);
    }
  }
  StartDetached("c", {"/bin/sleep", "1000"},
                {"--null-io", "--runtime-config-path", file});
  const pid_t monitor = ParentOf(TaskPid("c"));
  CHECK(CountIn("chosen", monitor) == tops().size());
  CHECK(CountIn("chosen", HeadOf(containerd().mark(), monitor)) ==
        tops().size());
}

// The last one to leave removes the cgroup that they share, while the next one
// is about to enter it.
TEST_CASE_METHOD(EngineCgroupTest, "Monitors come and go beside the engine",
                 "[engine][cgroup][hydra]") {
  constexpr int kThreads = 3;
  constexpr int kRounds = 5;
  std::atomic<int> ran = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < kRounds; ++round) {
        const std::string id =
            "c" + std::to_string(thread) + "-" + std::to_string(round);
        if (RunContainer(id, {"/bin/true"}).status == 0) ++ran;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(ran == kThreads * kRounds);
}

}  // namespace
}  // namespace hydra::testing
