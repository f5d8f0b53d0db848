#include "test/integration/harness/cli.h"

#include <catch2/catch.hpp>
#include <exception>
#include <filesystem>
#include <iostream>

#include "test/integration/harness/containerd.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/image.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kSchema = 1;

// The logs of the instances, for the message of a failed test.
std::string LogsOf(const std::string& state) {
  std::string text;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(state, error)) {
    if (entry.path().filename() != "hydra.log") continue;
    text += entry.path().string() + ":\n" +
            ReadFile(entry.path()).value_or("(gone)\n");
  }
  return text;
}

}  // namespace

std::vector<Json> ParseLines(const std::string& text) {
  std::vector<Json> objects;
  for (const std::string& line : Lines(text)) {
    Json object = Json::parse(line, nullptr, false);
    if (!object.is_object() || object.value("schema", 0) != kSchema) {
      FAIL("not an object of schema " << kSchema << ": " << line);
    }
    objects.push_back(std::move(object));
  }
  return objects;
}

std::string OutputOf(const std::vector<Json>& objects,
                     const std::string& stream) {
  std::string text;
  for (const Json& object : objects) {
    if (object.value("type", "output") == "output" &&
        object.value("stream", "") == stream) {
      text += object.value("data", "");
    }
  }
  return text;
}

CliTest::CliTest()
    : directory_(MakeMarkedDirectory()),
      mark_(fs::path(directory_).filename()),
      rootfs_(directory_ + "/rootfs") {
  WriteRootfs(rootfs_);
}

CliTest::~CliTest() {
  const bool failing = std::uncaught_exceptions() > 0;
  if (failing) {
    std::cerr << LogsOf(state_directory());
  } else {
    const Result listed = Hydra({"ps", "-aq"});
    for (const std::string& id : Lines(listed.out))
      (void)Must({"rm", "-f", id});
    std::vector<std::string> leftovers;
    Eventually([&] { return (leftovers = Leftovers()).empty(); });
    for (const std::string& one : leftovers) UNSCOPED_INFO("left: " << one);
    CHECK(leftovers.empty());
  }
  RemoveLeftovers(mark_, directory_);
}

std::vector<std::string> CliTest::Leftovers() const {
  return FindLeftovers(mark_, {}, {run_directory(), state_directory()});
}

Arguments CliTest::Command(const Arguments& arguments) const {
  return Join({BinaryDirectory() + "/hydra", "--namespace", mark_}, arguments);
}

SessionOptions CliTest::Options(bool terminal) const {
  SessionOptions options;
  options.terminal = terminal;
  options.environment = {"HYDRA_RUN_DIR=" + run_directory(),
                         "HYDRA_STATE_DIR=" + state_directory()};
  return options;
}

Result CliTest::Hydra(const Arguments& arguments,
                      const std::string& input) const {
  RunOptions options;
  options.input = input;
  options.session = Options();
  return Run(Command(arguments), options);
}

std::string CliTest::Must(const Arguments& arguments) const {
  const Result result = Hydra(arguments);
  if (result.status != 0) {
    FAIL("hydra " << arguments[0] << ": " << result.status << ": "
                  << result.err);
  }
  return result.out;
}

std::vector<Json> CliTest::MustLines(const Arguments& arguments) const {
  return ParseLines(Must(Join({"--format", "json"}, arguments)));
}

Json CliTest::MustJson(const Arguments& arguments) const {
  std::vector<Json> objects = MustLines(arguments);
  if (objects.size() != 1) {
    FAIL("hydra " << arguments[0] << ": " << objects.size() << " objects");
  }
  return objects[0];
}

Json CliTest::MustFail(const Arguments& arguments, int status) const {
  const Result result = Hydra(Join({"--format", "json"}, arguments));
  INFO("hydra " << arguments[0] << ": " << result.err);
  CHECK(result.status == status);
  const std::vector<Json> objects = ParseLines(result.err);
  if (objects.size() != 1 || !objects[0].contains("error")) {
    FAIL("not one error: " << result.err);
  }
  return objects[0];
}

Arguments CliTest::RunArguments(const Arguments& flags,
                                const Arguments& command) const {
  return Join(Join(Join({"run"}, flags), {"--rootfs", rootfs_}), command);
}

void CliTest::Start(const std::string& name, const Arguments& command,
                    const Arguments& flags) const {
  (void)Must(RunArguments(Join({"-d", "--name", name}, flags), command));
}

Arguments CliTest::EchoingShell() {
  return {"sh", "-c",
          "echo ready; while read -r x; do [ \"$x\" = end ] && exit 5; echo "
          "\"got $x\"; done; echo eof"};
}

Json CliTest::Inspect(const std::string& name) const {
  return MustJson({"inspect", name});
}

std::string CliTest::StatusOf(const std::string& name) const {
  return Inspect(name)["container"]["status"];
}

pid_t CliTest::PidOf(const std::string& name) const {
  return Inspect(name)["container"]["pid"];
}

bool CliTest::WaitForStatus(const std::string& name,
                            const std::string& status) const {
  return Eventually([&] { return StatusOf(name) == status; });
}

bool CliTest::WaitForLog(const std::string& name,
                         const std::string& text) const {
  Session logs(Command({"logs", "-f", name}), Options());
  return logs.ReadUntil(text);
}

}  // namespace hydra::testing
