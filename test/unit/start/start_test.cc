#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "cmd/containerd-shim-hydra-v1/listener.h"
#include "cmd/containerd-shim-hydra-v1/monitor_ref.h"
#include "containerd/runtime/bootstrap.pb.h"
#include "containerd/runtimeoptions/v1/options.pb.h"
#include "test/unit/base/eventually.h"
#include "test/unit/start/sandbox.h"

namespace hydra::test {
namespace {

std::string ScoreOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/oom_score_adj");
  std::string score;
  file >> score;
  return score;
}

TEST_CASE("start prints the address, writes it, and says nothing else",
          "[start]") {
  Sandbox sandbox;
  const Outcome outcome = sandbox.Run({"start"});
  CHECK(outcome.exit_status == 0);
  CHECK(outcome.errors.empty());
  CHECK(outcome.output == sandbox.paths().Address());
  CHECK(sandbox.Read("address") == outcome.output);
  struct stat info;
  REQUIRE(stat(sandbox.paths().socket.c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(IsAlive(sandbox.paths().socket));
  CHECK(IsRunning(sandbox.MonitorPid()));
}

// The descriptors of a report, each with what it is.
std::vector<std::string> DescriptorsOf(const std::vector<std::string>& report) {
  std::vector<std::string> descriptors;
  for (const std::string& line : report) {
    if (line.rfind("fd ", 0) == 0) descriptors.push_back(line.substr(3));
  }
  std::sort(descriptors.begin(), descriptors.end());
  return descriptors;
}

TEST_CASE("the monitor gets its arguments and descriptors, and no other",
          "[start]") {
  Sandbox sandbox;
  sandbox.environment["NOTIFY_SOCKET"] = "/run/notify";
  sandbox.environment["TTRPC_ADDRESS"] = "/run/c.sock.ttrpc";
  sandbox.environment["FOO"] = "bar";
  const std::string log = sandbox.bundle() + "/log";
  REQUIRE(mkfifo(log.c_str(), 0600) == 0);
  // The engine's end.
  const UniqueFd reader(open(log.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  REQUIRE(sandbox.Run({"-debug", "start"}).exit_status == 0);

  const std::vector<std::string> report = sandbox.Report();
  const InstancePaths paths = sandbox.paths();
  const std::vector<std::string> descriptors = DescriptorsOf(report);
  std::vector<std::string> arguments;
  for (const std::string& line : report) {
    // Pairs of them, if the test itself is in a cgroup below the root.
    if (line == "arg --cgroup" || line.rfind("arg /sys/fs/cgroup/", 0) == 0) {
      continue;
    }
    if (line.rfind("arg ", 0) == 0) arguments.push_back(line.substr(4));
  }
  REQUIRE(arguments.size() > 3);
  CHECK(arguments[1] == "--head-pid");
  CHECK(atoi(arguments[2].c_str()) > 1);
  arguments.erase(arguments.begin() + 1, arguments.begin() + 3);
  CHECK(arguments == std::vector<std::string>{
                         "hydra-monitor", "--directory", paths.directory,
                         "--socket", paths.socket, "--head",
                         std::filesystem::canonical(
                             HYDRA_TEST_PROGRAMS "/containerd-shim-hydra-v1"),
                         "--", "-namespace", "ns", "-id", "c1", "-address",
                         "/run/engine.sock", "-debug", "-bundle",
                         sandbox.bundle(), "serve"});
  REQUIRE(descriptors.size() == 6);
  CHECK(descriptors[0] == "0 /dev/null");
  CHECK(descriptors[1] == "1 /dev/null");
  CHECK(descriptors[2] == "2 " + log);
  CHECK(descriptors[3].rfind("3 socket:", 0) == 0);
  CHECK(descriptors[4].rfind("4 pipe:", 0) == 0);
  CHECK(descriptors[5].rfind("5 socket:", 0) == 0);
  CHECK(Contains(report, "listening 1"));
  CHECK(Contains(report, "session 1"));
  CHECK(Contains(report, "sigterm 0"));
  CHECK(Contains(report, "env FOO=bar"));
  CHECK(Contains(report, "env TTRPC_ADDRESS=/run/c.sock.ttrpc"));
  CHECK_FALSE(Contains(report, "env NOTIFY_SOCKET=/run/notify"));
}

TEST_CASE("the first head is started with its monitor", "[start]") {
  Sandbox sandbox;
  const std::string path = sandbox.root() + "/head-report";
  sandbox.environment["FAKE_HEAD_REPORT"] = path;
  sandbox.environment["NOTIFY_SOCKET"] = "/run/notify";
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  REQUIRE(Eventually([&] { return std::filesystem::exists(path); },
                     std::chrono::seconds(2)));
  const std::vector<std::string> report = LinesOf(path);
  const std::vector<std::string> descriptors = DescriptorsOf(report);
  REQUIRE(descriptors.size() == 4);
  CHECK(descriptors[0] == "0 /dev/null");
  CHECK(descriptors[1] == "1 /dev/null");
  CHECK(descriptors[3].rfind("3 socket:", 0) == 0);
  CHECK(Contains(report, "session 1"));
  CHECK(Contains(report, "sigterm 0"));
  // Not the bundle, which the engine may want to remove.
  CHECK(Contains(report, "cwd " + sandbox.paths().directory));
  CHECK_FALSE(Contains(report, "env NOTIFY_SOCKET=/run/notify"));
}

TEST_CASE("a new engine gets a message, and its event address is passed on",
          "[start]") {
  Sandbox sandbox;
  sandbox.environment["TTRPC_ADDRESS"] = "/old";
  containerd::runtime::bootstrap::v1::BootstrapParams params;
  params.set_instance_id("c1");
  params.set_namespace_("ns");
  params.set_containerd_ttrpc_address("/new");
  const Outcome outcome = sandbox.Run({"start"}, params.SerializeAsString());
  REQUIRE(outcome.exit_status == 0);
  CHECK(outcome.errors.empty());
  containerd::runtime::bootstrap::v1::BootstrapResult result;
  REQUIRE(result.ParseFromString(outcome.output));
  CHECK(result.address() == sandbox.paths().Address());
  CHECK(sandbox.Read("address") == result.address());
  CHECK(Contains(sandbox.Report(), "env TTRPC_ADDRESS=/new"));
  CHECK_FALSE(Contains(sandbox.Report(), "env TTRPC_ADDRESS=/old"));
}

TEST_CASE("the monitor is a little more killable than the engine", "[start]") {
  Sandbox sandbox;
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  const int own = std::stoi(ScoreOf(getpid()));
  CHECK(ScoreOf(sandbox.MonitorPid()) ==
        std::to_string(std::min(own + 1, 1000)));
}

TEST_CASE("a second start finds the instance alive", "[start]") {
  Sandbox sandbox;
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  const pid_t monitor = sandbox.MonitorPid();
  unlink((sandbox.bundle() + "/address").c_str());
  const Outcome outcome = sandbox.Run({"start"});
  CHECK(outcome.exit_status == 0);
  CHECK(outcome.output == sandbox.paths().Address());
  CHECK(outcome.errors.empty());
  CHECK(sandbox.Read("address") == outcome.output);
  CHECK(sandbox.MonitorPid() == monitor);
  CHECK(IsRunning(monitor));
}

TEST_CASE("what a dead instance left is replaced", "[start]") {
  Sandbox sandbox;
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  const pid_t monitor = sandbox.MonitorPid();
  kill(monitor, SIGKILL);
  REQUIRE_FALSE(IsRunning(monitor, 2000));
  std::ofstream(sandbox.paths().state) << "stale";
  const Outcome outcome = sandbox.Run({"start"});
  CHECK(outcome.exit_status == 0);
  CHECK(outcome.output == sandbox.paths().Address());
  CHECK(sandbox.MonitorPid() != monitor);
  CHECK(IsAlive(sandbox.paths().socket));
  CHECK_FALSE(std::filesystem::exists(sandbox.paths().state));
}

TEST_CASE("a monitor that is on its way out is waited for", "[start]") {
  Sandbox sandbox;
  sandbox.environment["FAKE_MONITOR"] = "closes";
  REQUIRE(sandbox.Run({"start"}).exit_status == 0);
  const pid_t old_monitor = sandbox.MonitorPid();
  sandbox.environment.erase("FAKE_MONITOR");
  CHECK(sandbox.Run({"start"}).exit_status == 0);
  CHECK_FALSE(IsRunning(old_monitor));
  CHECK(IsRunning(sandbox.MonitorPid()));
}

TEST_CASE("a start that fails says one line and leaves nothing", "[start]") {
  Sandbox sandbox;
  std::string expected;
  std::string input;
  std::vector<std::string> arguments = {"start"};
  SECTION("no config.json") {
    unlink((sandbox.bundle() + "/config.json").c_str());
    expected = "start: open " + sandbox.bundle() + "/config.json: No such file";
  }
  SECTION("a broken config.json") {
    sandbox.Write("config.json", "{\"linux\": 1}");
    expected = "config.json: linux is not an object";
  }
  SECTION("a monitor that ends at once") {
    sandbox.environment["FAKE_MONITOR"] = "exit";
    expected = "start hydra-monitor: exit status 3 before it was ready";
  }
  SECTION("a monitor that says why it cannot") {
    sandbox.environment["FAKE_MONITOR"] = "refuses";
    expected = "start hydra-monitor: epoll_create1: EMFILE";
  }
  SECTION("a monitor that never gets ready") {
    sandbox.environment["FAKE_MONITOR"] = "hang";
    expected = "wait for hydra-monitor: not ready after 5000 ms";
  }
  SECTION("input that is nothing") {
    input = "garbage";
    expected = "decode standard input: ";
  }
  SECTION("options of a foreign type") {
    input = std::string("\x0a\x03", 2) + "foo";
    expected = "unsupported type \"foo\"";
  }
  SECTION("a shim cgroup that cannot be") {
    // Any{containerd.runc.v1.Options, Options{shim_cgroup: "../x"}}
    input = std::string("\x0a\x1a") + "containerd.runc.v1.Options" +
            std::string("\x12\x06\x1a\x04") + "../x";
    expected = "enter shim cgroup: ";
  }
  SECTION("gRPC for an engine that cannot bear it") {
    containerd::runtime::bootstrap::v1::BootstrapParams params;
    params.set_instance_id("c1");
    params.set_namespace_("ns");
    runtimeoptions::v1::Options options;
    options.set_config_body("protocol = \"grpc\"");
    auto* extension = params.add_extensions()->mutable_value();
    extension->set_type_url("runtimeoptions.v1.Options");
    extension->set_value(options.SerializeAsString());
    input = params.SerializeAsString();
    expected = "protocol grpc: this containerd takes a shim that speaks it";
  }
  SECTION("an id that is none") {
    arguments = {"-id", "../c1", "start"};
    expected = "container id \"../c1\": must be";
  }
  SECTION("no namespace") {
    arguments = {"-namespace", "", "start"};
    expected = "namespace: must not be empty";
  }
  const Outcome outcome = sandbox.Run(arguments, input);
  CHECK(outcome.exit_status == 1);
  CHECK(outcome.output.empty());
  CHECK_THAT(outcome.errors, Catch::Contains(expected));
  CHECK(outcome.errors.rfind("containerd-shim-hydra-v1: ", 0) == 0);
  CHECK(std::count(outcome.errors.begin(), outcome.errors.end(), '\n') == 1);
  CHECK(sandbox.IsClean());
  CHECK_FALSE(std::filesystem::exists(sandbox.bundle() + "/address"));
}

TEST_CASE("a start that cannot answer leaves nothing", "[start]") {
  Sandbox sandbox;
  SECTION("because nobody reads") { sandbox.reads_output = false; }
  SECTION("because the address cannot be written") {
    std::filesystem::create_directory(sandbox.bundle() + "/address.tmp");
  }
  const Outcome outcome = sandbox.Run({"start"});
  CHECK(outcome.exit_status == 1);
  CHECK(outcome.output.empty());
  CHECK(sandbox.IsClean());
  CHECK_FALSE(std::filesystem::exists(sandbox.bundle() + "/address"));
}

TEST_CASE("a pid file of another time names nobody", "[start]") {
  Sandbox sandbox;
  const std::string path = sandbox.root() + "/monitor.pid";
  REQUIRE(MonitorRef::Save(path, getpid()).ok());
  CHECK(MonitorRef::Open(path)->pid() == getpid());
  std::ifstream file(path);
  std::string pid, start_time, boot;
  file >> pid >> start_time >> boot;
  std::ofstream(path) << pid << " 1 " << boot << "\n";
  CHECK(absl::IsNotFound(MonitorRef::Open(path).status()));
  std::ofstream(path) << pid << " " << start_time << " other-boot\n";
  CHECK(absl::IsNotFound(MonitorRef::Open(path).status()));
  for (const char* text : {"", "\n", "x 1 y\n", "12", "-1 1 x\n", "1 1 x\n"}) {
    std::ofstream(path) << text;
    CHECK(absl::IsDataLoss(MonitorRef::Open(path).status()));
  }
}

}  // namespace
}  // namespace hydra::test
