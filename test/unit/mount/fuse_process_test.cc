// The helper programs here are scripts that mount a tmpfs.

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <chrono>

#include "shim/base/status.h"
#include "shim/mount/mount.h"
#include "test/unit/mount/sandbox.h"

namespace hydra {
namespace {

using Catch::Contains;
using Points = std::vector<std::string>;

// Puts a script into the sandbox, and into PATH, as the helper program.
class Helper final {
 public:
  Helper(const Sandbox& sandbox, const std::string& program,
         const std::string& script)
      : previous_(getenv("PATH")) {
    const std::string path =
        sandbox.File("bin/" + program, "#!/bin/sh\n" + script);
    REQUIRE(chmod(path.c_str(), 0755) == 0);
    setenv("PATH", (sandbox.path() + "/bin:" + previous_).c_str(), 1);
  }
  ~Helper() { setenv("PATH", previous_.c_str(), 1); }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

 private:
  const std::string previous_;
};

TEST_CASE("A helper gets source, target, options and type", "[mount][fuse]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const Helper helper(sandbox, "mount.fuse3",
                      "printf '%s\\n' \"$@\" > " + sandbox.path() +
                          "/arguments\nmount -t tmpfs fake \"$2\"\n");
  REQUIRE(
      MountRootfs(
          {{"fuse3.fuse-overlayfs", "overlay", "", {"lowerdir=/a:/b", "ro"}}},
          rootfs)
          .ok());
  CHECK(Content(sandbox.path() + "/arguments") ==
        "overlay\n" + rootfs +
            "\n-o\nlowerdir=/a:/b\n-o\nro\n-t\nfuse-overlayfs\n");
  CHECK(sandbox.Mounts() == Points{rootfs});
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(TakeCensus() == before);
}

TEST_CASE("A helper that fails is quoted and undone", "[mount][fuse]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const Helper helper(sandbox, "mount.fuse",
                      "mount -t tmpfs fake \"$2\"\n"
                      "echo out; echo wrong key >&2; exit 3\n");
  const absl::Status status =
      MountRootfs({{"tmpfs", "t", "", {}}, {"fuse.x", "s", "", {}}}, rootfs);
  CHECK_THAT(Message(status),
             Contains("mount.fuse: exit status 3, output: \"out\\nwrong key"));
  CHECK(sandbox.Mounts().empty());
  CHECK(TakeCensus() == before);
}

TEST_CASE("A helper that mounts nothing is an error", "[mount][fuse]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const Helper helper(sandbox, "mount.fuse", "exit 0\n");
  const absl::Status status =
      MountRootfs({{"tmpfs", "t", "", {}}, {"fuse.x", "s", "", {}}}, rootfs);
  CHECK_THAT(Message(status), Contains("nothing mounted"));
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("A helper that is not installed is an error", "[mount][fuse]") {
  const Sandbox sandbox;
  const Helper helper(sandbox, "other", "");
  setenv("PATH", (sandbox.path() + "/bin").c_str(), 1);
  const absl::Status status =
      MountRootfs({{"fuse3.x", "s", "", {}}}, sandbox.path() + "/rootfs");
  CHECK_THAT(Message(status),
             Contains("run mount.fuse3: No such file or directory"));
}

TEST_CASE("A daemon that keeps the helper's output open delays nothing",
          "[mount][fuse]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string pid_file = sandbox.path() + "/pid";
  const Helper helper(
      sandbox, "mount.fuse3",
      "mount -t tmpfs fake \"$2\"\nsleep 100 &\necho $! > " + pid_file + "\n");
  const auto start = std::chrono::steady_clock::now();
  CHECK(MountRootfs({{"fuse3.x", "s", "", {}}}, rootfs).ok());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
  const int pid = std::stoi(Content(pid_file));
  REQUIRE(pid > 1);
  CHECK(kill(pid, SIGKILL) == 0);
}

TEST_CASE("A helper runs with default signals, whatever the caller has",
          "[mount][fuse]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const Helper helper(sandbox, "mount.fuse3",
                      "while read -r key value; do\n"
                      "  case $key in SigBlk:) echo $value > " +
                          sandbox.path() +
                          "/blocked;;\n"
                          "  SigIgn:) echo $value > " +
                          sandbox.path() +
                          "/ignored;;\n"
                          "  esac\n"
                          "done < /proc/$$/status\n"
                          "mount -t tmpfs fake \"$2\"\n");
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  const auto old_handler = signal(SIGPIPE, SIG_IGN);
  const absl::Status status = MountRootfs({{"fuse3.x", "s", "", {}}}, rootfs);
  signal(SIGPIPE, old_handler);
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  CHECK(status.ok());
  CHECK(std::stoull(Content(sandbox.path() + "/blocked"), nullptr, 16) == 0);
  // glibc's posix_spawn ignores its own two, 32 and 33, in the child.
  CHECK((std::stoull(Content(sandbox.path() + "/ignored"), nullptr, 16) &
         0x7fffffff) == 0);
}

}  // namespace
}  // namespace hydra
