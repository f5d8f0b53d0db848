#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "shim/base/status.h"
#include "shim/mount/idmap.h"
#include "shim/mount/mount.h"
#include "test/unit/mount/sandbox.h"

namespace hydra {

std::string SkipReason() {
  std::string reason = SandboxSkipReason();
  if (!reason.empty()) return reason;
  const Sandbox sandbox;
  const auto user_namespace = CreateUserNamespace("0:1000:10", "0:1000:10");
  if (!user_namespace.ok()) return Message(user_namespace.status());
  const UniqueFd fd(open(sandbox.path().c_str(), O_PATH | O_CLOEXEC));
  const auto tree = CloneTree(fd.get());
  if (!tree.ok()) return Message(tree.status());
  const absl::Status status =
      ShiftOwners(tree->get(), user_namespace->get(), true);
  return status.ok() ? "" : Message(status);
}

namespace {

using Catch::Contains;
using Points = std::vector<std::string>;

const std::vector<std::string> kMaps = {"uidmap=0:1000:65536",
                                        "gidmap=0:2000:65536"};

std::vector<std::string> WithMaps(std::vector<std::string> options) {
  options.insert(options.end(), kMaps.begin(), kMaps.end());
  return options;
}

std::pair<uid_t, gid_t> OwnerOf(const std::string& path) {
  struct stat info = {};
  CHECK(stat(path.c_str(), &info) == 0);
  return {info.st_uid, info.st_gid};
}

const std::pair<uid_t, gid_t> kRoot = {0, 0};
const std::pair<uid_t, gid_t> kShiftedRoot = {1000, 2000};

Mount IdmappedOverlay(const Sandbox& sandbox, const std::string& base,
                      int count) {
  std::string lowerdir = "lowerdir=";
  for (int i = 0; i < count; ++i) {
    const std::string layer = base + "/" + std::to_string(i) + "/fs";
    sandbox.File(layer + "/file" + std::to_string(i), "content");
    lowerdir += (i == 0 ? "" : ":") + sandbox.path() + "/" + layer;
  }
  return {"overlay", "overlay", "",
          WithMaps({"index=off", "workdir=" + sandbox.Dir("c/work"),
                    "upperdir=" + sandbox.Dir("c/upper"), lowerdir})};
}

TEST_CASE("A user namespace outlives the process that had it made",
          "[mount][idmap]") {
#if defined(__SANITIZE_THREAD__)
  std::cout << "SKIPPED: setns(2) wants one thread, the sanitizer has another"
            << std::endl;
  exit(77);
#endif
  const Census before = TakeCensus();
  {
    const auto fd = CreateUserNamespace("0:1000:5,5:3000:7", "0:2000:12");
    REQUIRE(fd.ok());
    const pid_t child = fork();
    if (child == 0) {
      _exit(setns(fd->get(), CLONE_NEWUSER) == 0 &&
                    Content("/proc/self/uid_map") ==
                        "         0       1000          5\n"
                        "         5       3000          7\n" &&
                    Content("/proc/self/gid_map") ==
                        "         0       2000         12\n"
                ? 0
                : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  CHECK(TakeCensus() == before);
}

TEST_CASE("Maps that the kernel refuses are an error", "[mount][idmap]") {
  const Census before = TakeCensus();
  CHECK_FALSE(CreateUserNamespace("0:0:10,5:20:10", "0:0:1").ok());
  CHECK_FALSE(CreateUserNamespace("0:0:1", "0:4294967290:10").ok());
  CHECK(CreateUserNamespace("0:0", "0:0:1").status().code() ==
        absl::StatusCode::kInvalidArgument);
  CHECK(TakeCensus() == before);
}

TEST_CASE("The signal mask of the caller is kept", "[mount][idmap]") {
  sigset_t mask;
  sigset_t previous;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  pthread_sigmask(SIG_SETMASK, &mask, &previous);
  CHECK(CreateUserNamespace("0:0:1", "0:0:1").ok());
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, &previous, &after);
  CHECK(sigismember(&after, SIGUSR2) == 1);
  CHECK(sigismember(&after, SIGTERM) == 0);
}

TEST_CASE("An idmapped bind mount shifts owners", "[mount][idmap]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string source = sandbox.Dir("source");
  sandbox.File("source/file", "content");
  for (const char* access : {"rw", "ro"}) {
    REQUIRE(
        MountRootfs({{"bind", source, "", WithMaps({"rbind", access})}}, rootfs)
            .ok());
    CHECK(sandbox.Mounts() == Points{rootfs});
    CHECK(OwnerOf(rootfs + "/file") == kShiftedRoot);
    CHECK_THAT(MountLine(rootfs),
               Contains(std::string(access) + ",relatime,idmapped"));
    REQUIRE(UnmountRecursive(rootfs).ok());
  }
  CHECK(OwnerOf(source + "/file") == kRoot);
  CHECK(TakeCensus() == before);
}

TEST_CASE("An idmapped mount of a filesystem shifts owners", "[mount][idmap]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const absl::Status status =
      MountRootfs({{"tmpfs", "t", "", WithMaps({"size=64k"})}}, rootfs);
  if (!status.ok()) {
    // tmpfs has it since Linux 6.3.
    WARN("not tested: " << Message(status));
    CHECK(sandbox.Mounts().empty());
    return;
  }
  CHECK(sandbox.Mounts() == Points{rootfs});
  CHECK(OwnerOf(rootfs) == kShiftedRoot);
}

TEST_CASE("An idmapped overlay shifts the owners of its layers",
          "[mount][idmap]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const int layers = GENERATE(1, 3, 100);
  const Mount mount = IdmappedOverlay(sandbox, std::string(120, 'd'), layers);
  const absl::Status status = MountRootfs({mount}, rootfs);
  INFO(Message(status));
  REQUIRE(status.ok());
  CHECK(sandbox.Mounts() == Points{rootfs});
  CHECK_THAT(MountLine(rootfs), Contains("- overlay overlay"));
  for (int i = 0; i < layers; ++i) {
    CHECK(OwnerOf(rootfs + "/file" + std::to_string(i)) == kShiftedRoot);
  }
  sandbox.File("rootfs/new", "x");
  CHECK(Content(sandbox.path() + "/c/upper/new") == "x");
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts().empty());
  CHECK(OwnerOf(sandbox.path() + "/" + std::string(120, 'd') + "/0/fs/file0") ==
        kRoot);
  CHECK(TakeCensus() == before);
}

TEST_CASE("Mounts go into an idmapped overlay", "[mount][idmap]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const Mount mount = IdmappedOverlay(sandbox, "snapshots", 2);
  sandbox.Dir("snapshots/1/fs/a");
  REQUIRE(MountRootfs({mount, {"tmpfs", "t", "a", {}}}, rootfs).ok());
  CHECK(sandbox.Mounts() == Points{rootfs, rootfs + "/a"});
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(sandbox.Mounts().empty());
}

TEST_CASE("Idmapped mounts go below a shared mount", "[mount][idmap]") {
  const Sandbox sandbox;
  const std::string shared = sandbox.Dir("shared");
  REQUIRE(mount("t", shared.c_str(), "tmpfs", 0, "") == 0);
  REQUIRE(mount("", shared.c_str(), "", MS_SHARED, "") == 0);
  const std::string rootfs = shared + "/rootfs";
  const std::string source = sandbox.Dir("source");
  const std::vector<Mount> mounts = {
      {"bind", source, "", WithMaps({"rbind", "ro"})},
      IdmappedOverlay(sandbox, "snapshots", 3)};
  for (const Mount& one : mounts) {
    REQUIRE(MountRootfs({one}, rootfs).ok());
    CHECK(sandbox.Mounts() == Points{shared, rootfs});
    REQUIRE(UnmountRecursive(rootfs).ok());
    CHECK(sandbox.Mounts() == Points{shared});
  }
}

TEST_CASE("An idmapped mount that fails leaves nothing", "[mount][idmap]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  SECTION("a layer is missing") {
    Mount mount = IdmappedOverlay(sandbox, "snapshots", 2);
    for (std::string& option : mount.options) {
      if (option.starts_with("lowerdir=")) {
        option += ":" + sandbox.path() + "/snapshots/missing/fs";
      }
    }
    CHECK_FALSE(MountRootfs({mount}, rootfs).ok());
  }
  SECTION("the layers have no common directory") {
    const absl::Status status = MountRootfs(
        {{"overlay", "overlay", "", WithMaps({"lowerdir=/usr:/etc"})}}, rootfs);
    CHECK_THAT(Message(status), Contains("no common directory"));
  }
  SECTION("the filesystem cannot be idmapped") {
    const absl::Status status = MountRootfs(
        {{"tmpfs", "t", "", {}}, {"proc", "proc", "", WithMaps({})}}, rootfs);
    CHECK_THAT(Message(status), Contains("mount_setattr MOUNT_ATTR_IDMAP"));
  }
  SECTION("a later mount fails") {
    CHECK_FALSE(MountRootfs({IdmappedOverlay(sandbox, "snapshots", 2),
                             {"nosuchfs", "s", "", {}}},
                            rootfs)
                    .ok());
  }
  CHECK(sandbox.Mounts().empty());
  CHECK(TakeCensus() == before);
}

TEST_CASE("Many threads make idmapped mounts at once", "[mount][idmap]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string source = sandbox.Dir("source");
  constexpr int kThreads = 8;
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const std::string rootfs = sandbox.path() + "/r" + std::to_string(i);
      for (int round = 0; round < 10; ++round) {
        if (!MountRootfs({{"bind", source, "", WithMaps({"rbind"})}}, rootfs)
                 .ok()) {
          return;
        }
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

}  // namespace
}  // namespace hydra
