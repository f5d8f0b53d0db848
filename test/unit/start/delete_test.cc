#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "containerd/task/v2/task.pb.h"
#include "shim/monitor/exit_file.h"
#include "shim/state/record.h"
#include "test/unit/start/sandbox.h"

namespace hydra::test {
namespace {

containerd::task::v2::DeleteResponse Delete(const Sandbox& sandbox) {
  const Outcome outcome = sandbox.Run({"-bundle", sandbox.bundle(), "delete"});
  CHECK(outcome.exit_status == 0);
  CHECK(outcome.errors.empty());
  containerd::task::v2::DeleteResponse response;
  REQUIRE(response.ParseFromString(outcome.output));
  return response;
}

void WriteScript(const std::string& path, const std::string& text) {
  std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
  REQUIRE(chmod(path.c_str(), 0755) == 0);
}

// A bundle whose container a fake OCI runtime knows.
void MakeContainer(const Sandbox& sandbox, const std::string& script) {
  const std::string runtime = sandbox.root() + "/runtime";
  WriteScript(runtime, script);
  sandbox.Write("runtime", runtime);
  sandbox.Write("options.json", "{\"root\":\"" + sandbox.root() + "/rt\"}");
  std::filesystem::create_directories(sandbox.root() + "/rt/ns/c1");
}

state::Record EmptyRecord() {
  state::Record record;
  record.set_format_version(kRecordVersion);
  record.set_boot_id(BootId());
  record.set_namespace_("ns");
  record.set_id("c1");
  return record;
}

TEST_CASE("delete of a task that never was", "[delete]") {
  Sandbox sandbox;
  const auto response = Delete(sandbox);
  CHECK(response.pid() == 0);
  CHECK(response.exit_status() == 137);
  CHECK(std::abs(response.exited_at().seconds() - time(nullptr)) <= 5);
  CHECK(sandbox.IsClean());
}

TEST_CASE("delete of a dead instance takes what it left, twice", "[delete]") {
  Sandbox sandbox;
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  const pid_t monitor = sandbox.MonitorPid();
  kill(monitor, SIGKILL);
  REQUIRE_FALSE(IsRunning(monitor, 2000));
  sandbox.Write("init.pid", "4242");
  for (int i = 0; i < 2; ++i) {
    const auto response = Delete(sandbox);
    CHECK(response.pid() == 4242);
    CHECK(response.exit_status() == 137);
    CHECK(sandbox.IsClean());
  }
}

TEST_CASE("delete tells the exit that the head recorded", "[delete]") {
  Sandbox sandbox;
  const InstancePaths paths = sandbox.paths();
  REQUIRE(MakeInstanceDirectory(paths).ok());
  state::Record record = EmptyRecord();
  state::Process* init = record.mutable_container()->mutable_init();
  init->set_number(1);
  init->set_pid(77);
  init->set_phase(state::PHASE_STOPPED);
  init->set_exit_status(3);
  init->set_exited_at(1'700'000'000'123'456'789);
  REQUIRE(RecordFile(paths.state).Save(record).ok());
  const auto response = Delete(sandbox);
  CHECK(response.pid() == 77);
  CHECK(response.exit_status() == 3);
  CHECK(response.exited_at().seconds() == 1'700'000'000);
  CHECK(response.exited_at().nanos() == 123'456'789);
  CHECK(sandbox.IsClean());
}

TEST_CASE("delete tells the exit that only the monitor recorded", "[delete]") {
  Sandbox sandbox;
  const InstancePaths paths = sandbox.paths();
  REQUIRE(MakeInstanceDirectory(paths).ok());
  monitor::ExitFile exits(paths.exits.c_str());
  REQUIRE(exits.Record({5, 76, 0, 1}) == 0);
  REQUIRE(exits.Record({1, 77, SIGSEGV, 1'700'000'000'000'000'001}) == 0);
  SECTION("by its number in the record") {
    state::Record record = EmptyRecord();
    record.mutable_container()->mutable_init()->set_number(1);
    REQUIRE(RecordFile(paths.state).Save(record).ok());
  }
  SECTION("by its pid where there is no record") {
    sandbox.Write("init.pid", "77");
  }
  const auto response = Delete(sandbox);
  CHECK(response.pid() == 77);
  CHECK(response.exit_status() == 128 + SIGSEGV);
  CHECK(response.exited_at().seconds() == 1'700'000'000);
  CHECK(response.exited_at().nanos() == 1);
}

TEST_CASE("delete ends a live monitor and its children", "[delete]") {
  Sandbox sandbox;
  sandbox.environment["FAKE_MONITOR"] = "child";
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  const pid_t monitor = sandbox.MonitorPid();
  std::ifstream children("/proc/" + std::to_string(monitor) + "/task/" +
                         std::to_string(monitor) + "/children");
  // The last: the first was the head, which has ended.
  pid_t child = 0;
  for (pid_t pid; children >> pid;) child = pid;
  REQUIRE(IsRunning(child));
  Delete(sandbox);
  CHECK_FALSE(IsRunning(monitor, 1000));
  CHECK_FALSE(IsRunning(child, 1000));
  CHECK(sandbox.IsClean());
}

TEST_CASE("delete does not kill who has a dead monitor's pid", "[delete]") {
  Sandbox sandbox;
  const InstancePaths paths = sandbox.paths();
  REQUIRE(MakeInstanceDirectory(paths).ok());
  const pid_t bystander = fork();
  if (bystander == 0) {
    for (;;) pause();
  }
  std::ofstream(paths.monitor_pid) << bystander << " 1 " << BootId() << "\n";
  Delete(sandbox);
  CHECK(IsRunning(bystander));
  kill(bystander, SIGKILL);
  CHECK(waitpid(bystander, nullptr, 0) == bystander);
}

TEST_CASE("the OCI runtime is told to delete what it knows", "[delete]") {
  Sandbox sandbox;
  MakeContainer(sandbox, "echo \"$@\" >> " + sandbox.root() + "/calls");
  Delete(sandbox);
  std::ifstream calls(sandbox.root() + "/calls");
  std::string call;
  REQUIRE(std::getline(calls, call));
  CHECK(call == "--root " + sandbox.root() + "/rt/ns --log " +
                    sandbox.bundle() +
                    "/log.json --log-format json delete --force c1");
  CHECK_FALSE(std::getline(calls, call));
}

TEST_CASE("the OCI runtime is not asked for what it does not know",
          "[delete]") {
  Sandbox sandbox;
  MakeContainer(sandbox, "touch " + sandbox.root() + "/called");
  REQUIRE(rmdir((sandbox.root() + "/rt/ns/c1").c_str()) == 0);
  Delete(sandbox);
  CHECK_FALSE(std::filesystem::exists(sandbox.root() + "/called"));
}

TEST_CASE("an OCI runtime that fails or hangs does not stop delete",
          "[delete]") {
  Sandbox sandbox;
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  const pid_t monitor = sandbox.MonitorPid();
  SECTION("fails") { MakeContainer(sandbox, "echo no >&2; exit 1"); }
  SECTION("hangs") { MakeContainer(sandbox, "sleep 1000"); }
  SECTION("is missing") {
    MakeContainer(sandbox, "");
    REQUIRE(unlink((sandbox.root() + "/runtime").c_str()) == 0);
  }
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = sandbox.Run({"delete"});
  // containerd's io.containerd.timeout.shim.cleanup.
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  CHECK(outcome.exit_status == 0);
  CHECK(outcome.errors.find("delete container, ignoring: ") !=
        std::string::npos);
  CHECK_FALSE(IsRunning(monitor, 1000));
  CHECK(sandbox.IsClean());
}

TEST_CASE("delete unmounts rootfs and touches no neighbour", "[delete]") {
  if (geteuid() != 0) {
    WARN("skipped: mounting needs root");
    return;
  }
  Sandbox sandbox;
  const std::string rootfs = sandbox.bundle() + "/rootfs";
  const std::string other = sandbox.root() + "/bundles/c2/rootfs";
  std::filesystem::create_directories(other);
  REQUIRE(mount("t", rootfs.c_str(), "tmpfs", 0, nullptr) == 0);
  REQUIRE(mount("t", other.c_str(), "tmpfs", 0, nullptr) == 0);
  const auto neighbour =
      PathsOf(sandbox.root() + "/run", {Sandbox::kAddress, "ns", "c2"});
  REQUIRE(MakeInstanceDirectory(*neighbour).ok());
  Delete(sandbox);
  CHECK(umount(other.c_str()) == 0);
  CHECK(umount(rootfs.c_str()) != 0);
  CHECK(std::filesystem::exists(neighbour->directory));
}

}  // namespace
}  // namespace hydra::test
