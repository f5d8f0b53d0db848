// packaging/examples/python: what a client in another language does with the
// .proto files alone.

#include <signal.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "test/integration/harness/native_container.h"

namespace hydra::testing {
namespace {

using Json = nlohmann::json;

constexpr char kPython[] = "/usr/bin/python3";

// What the example needs and this machine lacks; empty if nothing.
std::string Missing() {
  for (const auto& [package, check] : {
           std::pair<std::string, Arguments>{"python3-grpcio",
                                             {kPython, "-c", "import grpc"}},
           {"protobuf-compiler", {"protoc", "--version"}},
           {"protobuf-compiler-grpc",
            {"test", "-x", "/usr/bin/grpc_python_plugin"}},
       }) {
    if (Run(check).status != 0) return package;
  }
  return {};
}

Arguments Client(const std::string& container, const Arguments& verb) {
  return Join(
      {kPython, "-B", HYDRA_TEST_EXAMPLES_DIR "/python/client.py", container},
      verb);
}

// The topics of events, a JSON object per line.
std::string Topics(const std::string& lines) {
  std::istringstream in(lines);
  std::string topics;
  for (std::string line; std::getline(in, line);) {
    topics += Json::parse(line).at("topic").get<std::string>() + "\n";
  }
  return topics;
}

TEST_CASE_METHOD(IntegrationTest, "The Python example and a container",
                 "[grpc][streams][python][hydra]") {
  if (const std::string missing = Missing(); !missing.empty()) {
    HYDRA_SKIP(missing + " is not installed");
  }
  NativeContainer container(
      this, "c",
      {"/bin/sh", "-c",
       "echo ready; while read -r x; do echo got $x; done; exit 7"});
  container.request().set_input(true);
  container.Run();
  const Result inspected = Run(Client(container.socket(), {"inspect"}));
  CAPTURE(inspected.err);
  REQUIRE(inspected.status == 0);
  const Json json = Json::parse(inspected.out);
  CHECK(json.at("container").at("status") == "RUNNING");
  CHECK(json.at("monitor").at("pid") == container.Monitor());

  Session logs(Client(container.socket(), {"logs", "--follow"}));
  Session events(Client(container.socket(), {"events", "--follow"}));
  REQUIRE(logs.ReadUntil("ready\n"));
  REQUIRE(events.ReadUntil("/tasks/start"));
  // What serves gRPC dies, and both go on where they were.
  const pid_t served_by = container.GrpcProcess();
  REQUIRE(served_by > 0);
  REQUIRE(kill(served_by, SIGKILL) == 0);

  RunOptions input;
  input.input = "one\ntwo\n";
  const Result attached =
      Run(Client(container.socket(), {"attach", "--replay", "100"}), input);
  CAPTURE(attached.err);
  CHECK(attached.status == 7);
  CHECK(attached.out == "ready\ngot one\ngot two\n");
  CHECK(attached.err.empty());
  CHECK(logs.Wait() == 0);
  CHECK(logs.out() == attached.out);
  REQUIRE(events.ReadUntil("/tasks/exit"));
  events.Signal(SIGINT);
  CHECK(events.Wait() == 130);
  CHECK(Topics(events.out()) == "/tasks/create\n/tasks/start\n/tasks/exit\n");

  const Result tail = Run(Client(container.socket(), {"logs", "--tail", "1"}));
  CHECK(tail.status == 0);
  CHECK(tail.out == "got two\n");
}

TEST_CASE_METHOD(IntegrationTest,
                 "The Python example and an engine's container",
                 "[grpc][streams][python][hydra]") {
  if (const std::string missing = Missing(); !missing.empty()) {
    HYDRA_SKIP(missing + " is not installed");
  }
  Session session(containerd().CtrCommand(RunArguments(
      "c", {"/bin/sh", "-c",
            "echo ready; while read -r x; do echo got $x; done; exit 9"})));
  REQUIRE(session.ReadUntil("ready\n"));
  // By its name.
  Session attached(Client(containerd().ns() + "/c", {"attach"}));
  attached.Write("client\n");
  REQUIRE(attached.ReadUntil("got client\n"));
  REQUIRE(session.ReadUntil("got client\n"));
  session.Write("engine\n");
  REQUIRE(session.ReadUntil("got engine\n"));
  REQUIRE(attached.ReadUntil("got engine\n"));
  session.CloseInput();
  CHECK(session.Wait() == 9);
  CHECK(attached.Wait() == 9);
  const Result gone = Run(Client(containerd().ns() + "/c", {"inspect"}));
  CHECK(gone.status == 1);
  CHECK(gone.err.find("there is no such container") != std::string::npos);
}

}  // namespace
}  // namespace hydra::testing
