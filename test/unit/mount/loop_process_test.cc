#include <fcntl.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <thread>

#include "shim/base/status.h"
#include "shim/mount/loop.h"
#include "shim/mount/mount.h"
#include "test/unit/mount/sandbox.h"

namespace hydra {
namespace {

std::string MakeImage(const Sandbox& sandbox, const std::string& name) {
  const std::string content = sandbox.Dir("content");
  sandbox.File("content/file", "inside");
  const std::string image = sandbox.File(name, "");
  std::filesystem::resize_file(image, 4 << 20);
  const std::string command =
      "PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 -q -F -d " + content + " " + image;
  REQUIRE(system(command.c_str()) == 0);
  return image;
}

// The device of a mount, by mountinfo.
std::string DeviceOf(const std::string& path) {
  const std::string line = MountLine(path);
  const size_t start = line.find("/dev/loop");
  if (start == std::string::npos) return {};
  return line.substr(start, line.find(' ', start) - start);
}

loop_info64 InfoOf(const std::string& device) {
  loop_info64 info = {};
  const UniqueFd fd(open(device.c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(fd.valid());
  REQUIRE(ioctl(fd.get(), LOOP_GET_STATUS64, &info) == 0);
  return info;
}

// True when no device has `image` for its file. The kernel lets go of the
// file a moment after the last close of the device.
bool DetachedInTime(const std::string& image) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    bool attached = false;
    for (const auto& entry :
         std::filesystem::directory_iterator("/sys/block")) {
      attached |= Content((entry.path() / "loop/backing_file").string())
                      .starts_with(image);
    }
    if (!attached) return true;
    usleep(10'000);
  }
  return false;
}

}  // namespace

std::string SkipReason() {
  const std::string reason = SandboxSkipReason();
  if (!reason.empty()) return reason;
  if (system("PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4 >/dev/null")) {
    return "no mkfs.ext4 (e2fsprogs)";
  }
  const UniqueFd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.valid() || ioctl(control.get(), LOOP_CTL_GET_FREE) < 0) {
    return std::string("no loop devices: ") + strerror(errno);
  }
  return {};
}

namespace {

TEST_CASE("An image is mounted by loop and detached with its mount",
          "[mount][loop]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string image = MakeImage(sandbox, "image");
  REQUIRE(MountRootfs({{"ext4", image, "", {"loop", "rw"}}}, rootfs).ok());
  CHECK(Content(rootfs + "/file") == "inside");
  sandbox.File("rootfs/new", "x");
  CHECK(Content(rootfs + "/new") == "x");
  const loop_info64 info = InfoOf(DeviceOf(rootfs));
  CHECK((info.lo_flags & LO_FLAGS_AUTOCLEAR) != 0);
  CHECK((info.lo_flags & (LO_FLAGS_READ_ONLY | LO_FLAGS_DIRECT_IO)) == 0);
  CHECK(image.starts_with(reinterpret_cast<const char*>(info.lo_file_name)));
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(DetachedInTime(image));
  CHECK(TakeCensus() == before);
}

TEST_CASE("ro makes the device read-only, direct-io direct", "[mount][loop]") {
  const Sandbox sandbox;
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string image = MakeImage(sandbox, "image");
  REQUIRE(std::filesystem::status(image).type() ==
          std::filesystem::file_type::regular);
  REQUIRE(
      MountRootfs({{"ext4", image, "", {"ro", "loop", "direct-io"}}}, rootfs)
          .ok());
  CHECK(Content(rootfs + "/file") == "inside");
  const loop_info64 info = InfoOf(DeviceOf(rootfs));
  CHECK((info.lo_flags & LO_FLAGS_READ_ONLY) != 0);
  CHECK((info.lo_flags & LO_FLAGS_DIRECT_IO) != 0);
  REQUIRE(UnmountRecursive(rootfs).ok());
  CHECK(DetachedInTime(image));
}

TEST_CASE("A loop mount that fails detaches the device", "[mount][loop]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string rootfs = sandbox.path() + "/rootfs";
  const std::string image = MakeImage(sandbox, "image");
  SECTION("in mount(2)") {
    CHECK_FALSE(
        MountRootfs({{"squashfs", image, "", {"loop", "ro"}}}, rootfs).ok());
  }
  SECTION("in a later component") {
    CHECK_FALSE(MountRootfs({{"ext4", image, "", {"loop"}},
                             {"tmpfs", "t", "missing", {}}},
                            rootfs)
                    .ok());
  }
  CHECK(sandbox.Mounts().empty());
  CHECK(DetachedInTime(image));
  CHECK(TakeCensus() == before);
}

// Has LOOP_CONFIGURE fail in the calling thread as on a kernel without it.
bool ForbidLoopConfigure() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOOP_CONFIGURE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_CASE("Kernels without LOOP_CONFIGURE attach in steps", "[mount][loop]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  const std::string image = MakeImage(sandbox, "image");
  bool forbidden = false;
  absl::StatusOr<LoopDevice> device;
  std::thread([&] {
    forbidden = ForbidLoopConfigure();
    device = AttachLoop(image, {.read_only = true, .direct_io = true});
  }).join();
  REQUIRE(forbidden);
  REQUIRE(device.ok());
  const loop_info64 info = InfoOf(device->path);
  CHECK((info.lo_flags & LO_FLAGS_AUTOCLEAR) != 0);
  CHECK((info.lo_flags & LO_FLAGS_READ_ONLY) != 0);
  CHECK((info.lo_flags & LO_FLAGS_DIRECT_IO) != 0);
  device->fd.Reset();
  CHECK(DetachedInTime(image));
  CHECK(TakeCensus() == before);
}

TEST_CASE("A file that is not there is NotFound", "[mount][loop]") {
  const auto device = AttachLoop("/nonexistent/image", {});
  CHECK(device.status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("Many threads attach at once", "[mount][loop]") {
  const Sandbox sandbox;
  const Census before = TakeCensus();
  constexpr int kThreads = 8;
  std::vector<std::string> images;
  images.push_back(MakeImage(sandbox, "image0"));
  for (int i = 1; i < kThreads; ++i) {
    images.push_back(sandbox.path() + "/image" + std::to_string(i));
    std::filesystem::copy_file(images[0], images.back());
  }
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        auto device = AttachLoop(images[i], {});
        if (!device.ok()) return;
        const std::string expected = images[i] + "\n";
        const std::string name = device->path.substr(strlen("/dev/"));
        if (Content("/sys/block/" + name + "/loop/backing_file") != expected) {
          return;
        }
      }
      ++done;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done == kThreads);
  for (const std::string& image : images) CHECK(DetachedInTime(image));
  CHECK(TakeCensus() == before);
}

}  // namespace
}  // namespace hydra
