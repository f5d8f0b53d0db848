#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "shim/base/status.h"
#include "shim/mount/mount.h"
#include "test/unit/mount/sandbox.h"

namespace hydra {

std::string SkipReason() { return SandboxSkipReason(); }

namespace {

using Catch::Contains;
using Catch::StartsWith;
using Points = std::vector<std::string>;

bool CanWrite(const std::string& directory) {
  const std::string path = directory + "/written";
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  close(fd);
  return true;
}

mode_t Mode(const std::string& path) {
  struct stat info;
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

// Layers with a file of their own each, under a directory with a long name.
std::vector<std::string> MakeLayers(const Sandbox& sandbox,
                                    const std::string& base, int count) {
  std::vector<std::string> layers;
  for (int i = 0; i < count; ++i) {
    const std::string name = base + "/" + std::to_string(i) + "/fs";
    sandbox.File(name + "/file" + std::to_string(i), std::to_string(i));
    sandbox.File(name + "/top", std::to_string(i));
    layers.push_back(sandbox.path() + "/" + name);
  }
  return layers;
}

std::string Join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    text += (text.empty() ? "" : ":") + part;
  }
  return text;
}

Mount Overlay(const Sandbox& sandbox, const std::vector<std::string>& layers,
              const std::string& name) {
  return {
      "overlay",
      "overlay",
      "",
      {"index=off", "workdir=" + sandbox.Dir(name + "/work"),
       "upperdir=" + sandbox.Dir(name + "/upper"), "lowerdir=" + Join(layers)}};
}

TEST_CASE("Without mounts there is only the directory", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const mode_t previous = umask(077);
  const absl::Status status = MountRootfs({}, rootfs);
  umask(previous);
  REQUIRE(status.ok());
  CHECK(Mode(rootfs) == 0711);
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("A rootfs directory that exists keeps its mode", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.Dir("rootfs");
  REQUIRE(chmod(rootfs.c_str(), 0750) == 0);
  REQUIRE(MountRootfs({}, rootfs).ok());
  CHECK(Mode(rootfs) == 0750);
}

TEST_CASE("A bind mount is writable or read-only as asked", "[mount]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string source = sandbox.Dir("source");
  sandbox.File("source/file", "content");
  for (const bool read_only : {false, true}) {
    for (const char* bind : {"bind", "rbind"}) {
      const Mount mount = {"bind", source, "", {bind, read_only ? "ro" : "rw"}};
      REQUIRE(MountRootfs({mount}, rootfs).ok());
      CHECK(sandbox.Mounts() == Points{rootfs});
      CHECK(Content(rootfs + "/file") == "content");
      CHECK(CanWrite(rootfs) == !read_only);
      REQUIRE(UnmountRecursive(rootfs).ok());
      CHECK(sandbox.Mounts().empty());
    }
  }
  CHECK(CanWrite(source));
  CHECK(TakeCensus() == before);
}

TEST_CASE("rbind brings the mounts below, bind does not", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string source = sandbox.Dir("source");
  const std::string below = sandbox.Dir("source/below");
  REQUIRE(mount("t", below.c_str(), "tmpfs", 0, "") == 0);
  sandbox.File("source/below/file", "content");
  REQUIRE(MountRootfs({{"bind", source, "", {"bind"}}}, rootfs).ok());
  CHECK_FALSE(Exists(rootfs + "/below/file"));
  REQUIRE(UnmountRecursive(rootfs).ok());
  REQUIRE(MountRootfs({{"bind", source, "", {"rbind"}}}, rootfs).ok());
  CHECK(Exists(rootfs + "/below/file"));
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts() == Points{below});
}

TEST_CASE("tmpfs takes flags and data", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const Mount mount = {
      "tmpfs", "scratch", "", {"defaults", "nosuid", "noexec", "size=64k"}};
  REQUIRE(MountRootfs({mount}, rootfs).ok());
  CHECK_THAT(MountLine(rootfs), Contains("nosuid,noexec") &&
                                    Contains("- tmpfs scratch") &&
                                    Contains("size=64k"));
}

TEST_CASE("remount changes the mount that is there", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  REQUIRE(MountRootfs({{"tmpfs", "t", "", {"size=64k"}},
                       {"tmpfs", "t", "", {"remount", "ro", "size=128k"}}},
                      rootfs)
              .ok());
  CHECK(sandbox.Mounts() == Points{rootfs});
  CHECK_THAT(MountLine(rootfs), Contains("ro,size=128k"));
  CHECK_FALSE(CanWrite(rootfs));
}

TEST_CASE("Propagation is set on the new mount", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string source = sandbox.Dir("source");
  REQUIRE(
      MountRootfs({{"bind", source, "", {"rbind", "ro", "rshared"}}}, rootfs)
          .ok());
  CHECK_THAT(MountLine(rootfs), Contains(" shared:"));
  CHECK_FALSE(CanWrite(rootfs));
}

TEST_CASE("overlay shows its layers and writes to the upper", "[mount]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const auto layers = MakeLayers(sandbox, "snapshots", 2);
  REQUIRE(MountRootfs({Overlay(sandbox, layers, "c")}, rootfs).ok());
  CHECK(Content(rootfs + "/top") == "0");
  CHECK(Content(rootfs + "/file1") == "1");
  CHECK(CanWrite(rootfs));
  CHECK(Exists(sandbox.path() + "/c/upper/written"));
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts().empty());
  CHECK(TakeCensus() == before);
}

TEST_CASE("overlay options longer than a page are made shorter", "[mount]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const auto layers = MakeLayers(sandbox, std::string(120, 'd'), 100);
  REQUIRE(Join(layers).size() > 2 * 4096);
  REQUIRE(MountRootfs({Overlay(sandbox, layers, "c")}, rootfs).ok());
  CHECK(sandbox.Mounts() == Points{rootfs});
  CHECK(Content(rootfs + "/top") == "0");
  for (int i = 0; i < 100; ++i) {
    const std::string number = std::to_string(i);
    CHECK(Content(rootfs + "/file" + number) == number);
  }
  CHECK(CanWrite(rootfs));
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(TakeCensus() == before);
}

TEST_CASE("overlay options that stay too long are an error", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  std::vector<std::string> layers;
  for (int i = 0; i < 60; ++i) {
    layers.push_back(
        sandbox.Dir(std::to_string(i) + "/" + std::string(100, 'd')));
  }
  const absl::Status status =
      MountRootfs({Overlay(sandbox, layers, "c")}, rootfs);
  CHECK(status.code() == absl::StatusCode::kUnknown);
  CHECK_THAT(Message(status), Contains("mount options is too long"));
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("Many threads mount at once and share nothing", "[mount]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const auto layers = MakeLayers(sandbox, std::string(120, 'd'), 64);
  constexpr int kThreads = 8;
  std::vector<Mount> mounts;
  for (int i = 0; i < kThreads; ++i) {
    mounts.push_back(Overlay(sandbox, layers, "c" + std::to_string(i)));
  }
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const std::string rootfs = sandbox.path() + "/r" + std::to_string(i);
      for (int round = 0; round < 10; ++round) {
        if (!MountRootfs({mounts[i]}, rootfs).ok()) return;
        if (Content(rootfs + "/file63") != "63") return;
        if (!UnmountRecursive(rootfs).ok()) return;
      }
      ++done;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done == kThreads);
  CHECK(sandbox.Mounts().empty());
  CHECK(TakeCensus() == before);
}

TEST_CASE("A target is inside the mounts before it", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string source = sandbox.Dir("source");
  sandbox.Dir("source/a/b");
  sandbox.File("source/etc/file", "old");
  const std::string file = sandbox.File("file", "new");
  REQUIRE(MountRootfs({{"bind", source, "", {"rbind", "ro"}},
                       {"tmpfs", "t", "a/b", {}},
                       {"bind", file, "/etc/file", {"bind", "ro"}}},
                      rootfs)
              .ok());
  CHECK(sandbox.Mounts() ==
        Points{rootfs, rootfs + "/a/b", rootfs + "/etc/file"});
  CHECK(Content(rootfs + "/etc/file") == "new");
  CHECK(CanWrite(rootfs + "/a/b"));
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("Symlinks in a target do not lead out of the rootfs", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string source = sandbox.Dir("source");
  const std::string outside = sandbox.Dir("outside");
  namespace fs = std::filesystem;
  fs::create_symlink(outside, source + "/absolute");
  fs::create_symlink("../outside", source + "/relative");
  fs::create_symlink("/proc/self/root" + outside, source + "/magic");
  const Mount first = {"bind", source, "", {"rbind"}};

  SECTION("What is not there inside is not found") {
    for (const std::string& target :
         {std::string("absolute"), std::string("relative"),
          std::string("magic"), std::string("../outside"), outside,
          std::string("../../../..") + outside}) {
      INFO(target);
      const absl::Status status =
          MountRootfs({first, {"tmpfs", "t", target, {}}}, rootfs);
      CHECK(status.code() == absl::StatusCode::kUnknown);
      CHECK_THAT(Message(status), Contains("fstype: tmpfs") &&
                                      Contains("No such file or directory"));
      CHECK(sandbox.Mounts().empty());
    }
  }
  SECTION("What is there inside is mounted on") {
    const std::string inside = sandbox.Dir("source" + outside);
    for (const char* target : {"absolute", "/absolute/", "../absolute"}) {
      REQUIRE(MountRootfs({first, {"tmpfs", "t", target, {}}}, rootfs).ok());
      CHECK(sandbox.Mounts() == Points{rootfs, rootfs + outside});
      REQUIRE(UnmountRecursive(rootfs).ok());
    }
  }
  SECTION("Dots stop at the rootfs") {
    REQUIRE(MountRootfs({first, {"tmpfs", "t", "../..", {}}}, rootfs).ok());
    CHECK(sandbox.Mounts() == Points{rootfs, rootfs});
    CHECK(UnmountRecursive(rootfs).ok());
  }
  CHECK(fs::is_empty(outside));
}

TEST_CASE("A failure in the middle leaves nothing mounted", "[mount]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string source = sandbox.Dir("source");
  sandbox.Dir("source/a");
  const std::string below = sandbox.Dir("source/below");
  REQUIRE(mount("t", below.c_str(), "tmpfs", 0, "") == 0);
  const std::vector<Mount> good = {{"bind", source, "", {"rbind"}},
                                   {"tmpfs", "t", "a", {}},
                                   {"tmpfs", "t", "a", {}}};
  const Mount bad[] = {
      {"tmpfs", "t", "missing", {}},
      {"nosuchfs", "s", "a", {}},
      {"overlay", "overlay", "a", {"lowerdir=/nonexistent"}},
      {"tmpfs", "t", "a", {"size=nonsense"}},
      {"bind", "/nonexistent", "a", {"bind"}},
      {"tmpfs", "t", "a", {"X-containerd.mkdir=a"}},
      {"tmpfs", "t", "a", {"uidmap=x", "gidmap=y"}},
      {"ext4", "/nonexistent", "a", {"loop"}},
  };
  for (const Mount& mount : bad) {
    std::vector<Mount> mounts = good;
    mounts.push_back(mount);
    const absl::Status status = MountRootfs(mounts, rootfs);
    CHECK(status.code() == absl::StatusCode::kUnknown);
    CHECK_THAT(Message(status),
               StartsWith("mount source: \"" + mount.source + "\", target: \"" +
                          rootfs + "/" + mount.target +
                          "\", fstype: " + mount.type + ": "));
    CHECK(sandbox.Mounts() == Points{below});
    CHECK(Exists(rootfs));
  }
  CHECK(TakeCensus() == before);
}

TEST_CASE("A failure leaves alone what was mounted before", "[mount]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.Dir("rootfs");
  REQUIRE(mount("before", rootfs.c_str(), "tmpfs", 0, "") == 0);
  CHECK_FALSE(
      MountRootfs({{"tmpfs", "t", "", {}}, {"nosuchfs", "s", "", {}}}, rootfs)
          .ok());
  CHECK(sandbox.Mounts() == Points{rootfs});
  CHECK_THAT(MountLine(rootfs), Contains("tmpfs before"));
}

TEST_CASE("A rootfs that cannot be made is an error", "[mount]") {
  const Sandbox sandbox;
  const absl::Status status =
      MountRootfs({}, sandbox.path() + "/missing/rootfs");
  CHECK(status.code() == absl::StatusCode::kUnknown);
  CHECK_THAT(Message(status), StartsWith("mkdir "));
}

void Write(const char* path, const char* text) { std::ofstream(path) << text; }

// In a user namespace of its own; the exit status of the test.
int BindReadOnlyInUserNamespace(const std::string& source,
                                const std::string& rootfs) {
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return 2;
  Write("/proc/self/setgroups", "deny");
  Write("/proc/self/uid_map", "0 0 1");
  Write("/proc/self/gid_map", "0 0 1");
  const absl::Status status =
      MountRootfs({{"bind", source, "", {"rbind", "ro"}}}, rootfs);
  if (!status.ok()) {
    fprintf(stderr, "%s\n", Message(status).c_str());
    return 3;
  }
  return CanWrite(rootfs) ? 4 : 0;
}

TEST_CASE("A read-only bind keeps flags locked in a user namespace",
          "[mount]") {
  const Sandbox sandbox;
  const std::string source = sandbox.Dir("source");
  const std::string rootfs = sandbox.Dir("rootfs");
  REQUIRE(mount("t", source.c_str(), "tmpfs",
                MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, "") == 0);
  const pid_t child = fork();
  if (child == 0) _exit(BindReadOnlyInUserNamespace(source, rootfs));
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) {
    WARN("not tested: no user namespace");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace hydra
