// What `ctr run` sees of a container: output, input, status, errors.

#include <catch2/catch.hpp>
#include <string>

#include "test/integration/harness/fixture.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

constexpr size_t kMebibyte = 1 << 20;
constexpr size_t kLineSize = 16;

// What payload numbered-lines writes.
std::string NumberedLines(size_t size) {
  std::string text;
  text.reserve(size + kLineSize);
  for (size_t number = 0; text.size() < size; ++number) {
    const std::string digits = std::to_string(number);
    text.append(kLineSize - 1 - digits.size(), '0').append(digits) += '\n';
  }
  text.resize(size);
  return text;
}

// Where two texts part; compared so that a failure does not print megabytes.
std::string FirstDifference(const std::string& got, const std::string& want) {
  if (got == want) return {};
  size_t at = 0;
  while (at < got.size() && at < want.size() && got[at] == want[at]) ++at;
  return "at byte " + std::to_string(at) + " of " +
         std::to_string(want.size()) + ", got " + std::to_string(got.size());
}

TEST_CASE_METHOD(IntegrationTest, "ctr run keeps stdout and stderr apart",
                 "[run][engines]") {
  const Result result = RunScript("c", "echo out; echo err >&2");
  CHECK(result.status == 0);
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
}

TEST_CASE_METHOD(IntegrationTest, "ctr run exits with the container's status",
                 "[run][engines]") {
  const struct {
    const char* command;
    int status;
  } cases[] = {
      {"exit 0", 0},
      {"exit 1", 1},
      {"exit 42", 42},
      {"exit 255", 255},
      // A signal that init sends itself is not delivered; a child's is what
      // the shell makes of it.
      {"(kill -9 $$ & wait) ; /bin/sh -c 'kill -15 $$' ; exit $?", 143},
      {"/bin/sh -c 'kill -9 $$' ; exit $?", 137},
  };
  for (const auto& [command, status] : cases) {
    CAPTURE(command);
    CHECK(RunContainer("c", {"/bin/sh", "-c", command}).status == status);
  }
}

TEST_CASE_METHOD(IntegrationTest,
                 "Death by signal is reported as 128 plus the signal",
                 "[run][kill][engines]") {
  const struct {
    const char* signal;
    int status;
  } cases[] = {{"KILL", 137}, {"TERM", 143}, {"USR1", 138}};
  for (const auto& [signal, status] : cases) {
    CAPTURE(signal);
    const std::string id = std::string("sig-") + signal;
    // A signal whose action is the default one does not reach a namespace's
    // init from inside; from outside only SIGKILL does. So: a child of init.
    StartDetached(id, {"/bin/sh", "-c", "sleep 1000 & wait $!; exit $?"});
    if (std::string(signal) == "KILL") {
      MustCtr({"tasks", "kill", "-s", signal, id});
    } else {
      MustCtr({"tasks", "kill", "--all", "-s", signal, id});
    }
    REQUIRE(WaitForStatus(id, "STOPPED"));
    CHECK(DeleteTask(id) == status);
    MustCtr({"containers", "rm", id});
  }
}

TEST_CASE_METHOD(IntegrationTest, "A container reads stdin up to its end",
                 "[run][stdin][engines]") {
  Session session(containerd().CtrCommand(
      RunArguments("c", {"/bin/sh", "-c", "echo ready; cat; echo end"})));
  // ctr 1.6 forgets an end of file that comes before it has the task.
  REQUIRE(session.ReadUntil("ready\n"));
  session.Write("first\n");
  REQUIRE(session.ReadUntil("first\n"));
  session.Write("second\n");
  session.CloseInput();
  REQUIRE(session.Wait() == 0);
  CHECK(session.out() == "ready\nfirst\nsecond\nend\n");
}

TEST_CASE_METHOD(IntegrationTest, "A megabyte of stdin arrives byte-exact",
                 "[run][stdin]") {
  const std::string input = NumberedLines(kMebibyte);
  Session session(containerd().CtrCommand(RunArguments(
      "c", {"/bin/sh", "-c", "echo ready; cat; echo end; exec sleep 1000"})));
  REQUIRE(session.ReadUntil("ready\n"));
  session.Write(input);
  session.CloseInput();
  // It stays until all has come through: see RunScript.
  CHECK(session.ReadUntil("\nend\n"));
  CHECK(FirstDifference(session.out(), "ready\n" + input + "end\n") == "");
  MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  CHECK(session.Wait() == 137);
}

TEST_CASE_METHOD(IntegrationTest, "100 MB of output arrive byte-exact",
                 "[run][output]") {
  constexpr size_t kSize = 100'000'000;
  const Result result =
      RunScript("c", "/payload/numbered-lines " + std::to_string(kSize),
                {"--rm"}, Milliseconds(120'000));
  CHECK(result.status == 0);
  CHECK(FirstDifference(result.out, NumberedLines(kSize)) == "");
}

TEST_CASE_METHOD(IntegrationTest, "Stdout and stderr fill up independently",
                 "[run][output]") {
  const std::string size = std::to_string(4 * kMebibyte);
  const Result result =
      RunScript("c", "/payload/numbered-lines " + size +
                         " 2 & /payload/numbered-lines " + size + "; wait");
  CHECK(result.status == 0);
  CHECK(FirstDifference(result.out, NumberedLines(4 * kMebibyte)) == "");
  CHECK(FirstDifference(result.err, NumberedLines(4 * kMebibyte)) == "");
}

TEST_CASE_METHOD(IntegrationTest,
                 "A background child that holds stdout does not delay the exit",
                 "[run][output][engines]") {
  // The child ends with the container's pid namespace.
  const auto begin = std::chrono::steady_clock::now();
  const Result result = RunContainer("c", {"/payload/hold-stdout", "60"});
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(result.status == 7);
  CHECK(took < std::chrono::seconds(10));
}

TEST_CASE_METHOD(IntegrationTest,
                 "An exec's background child does not delay the exec's exit",
                 "[exec][output]") {
  events();
  StartDetached("c", {"/bin/sleep", "1000"});
  Session session(containerd().CtrCommand(
      ExecArguments("c", "e", {"/payload/hold-stdout", "60"})));
  const auto exit = events().WaitFor(
      [](const TaskEvent& event) {
        return event.topic == "/tasks/exit" && event.exec_id == "e";
      },
      Milliseconds(10'000));
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 7);
  CHECK(session.Wait(Milliseconds(15'000)) == 7);
  CHECK(session.out() == "parent leaves\n");
}

TEST_CASE_METHOD(IntegrationTest,
                 "A program that does not exist is a clear error",
                 "[run][error][engines]") {
  const Result result = RunContainer("c", {"/no/such/program"});
  CHECK(result.status == 1);
  CHECK(result.err.find("OCI runtime create failed") != std::string::npos);
  CHECK(result.err.find("exec: \"/no/such/program\": stat /no/such/program: "
                        "no such file or directory") != std::string::npos);
  CHECK(TaskStatus("c").empty());
  // And the same id works at once.
  CHECK(RunContainer("c", {"/bin/true"}).status == 0);
}

TEST_CASE_METHOD(IntegrationTest,
                 "A program that may not be executed is a clear error",
                 "[run][error]") {
  const Result result = RunContainer("c", {"/etc"});
  CHECK(result.status == 1);
  // What docker turns into exit status 126.
  CHECK(result.err.find("permission denied") +
            result.err.find("is a directory") !=
        2 * std::string::npos);
}

TEST_CASE_METHOD(IntegrationTest, "A detached container outlives its ctr",
                 "[run][engines]") {
  events();
  StartDetached("c", {"/bin/sh", "-c", "sleep 0.3; exit 9"});
  CHECK(TaskPid("c") > 0);
  const auto exit = events().WaitFor("/tasks/exit", "c");
  REQUIRE(exit.has_value());
  CHECK(exit->exit_status == 9);
  REQUIRE(WaitForStatus("c", "STOPPED"));
  CHECK(DeleteTask("c") == 9);
  CHECK(events().WaitFor("/tasks/delete", "c").has_value());
  CHECK(events().Summary("c") == "create start exit=9 delete=9");
}

TEST_CASE_METHOD(IntegrationTest, "The shim is no descendant of containerd",
                 "[run][process]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  size_t shims = 0;
  for (const ProcessInfo& process : ProcessesOf(containerd().mark())) {
    CAPTURE(process.command);
    CHECK(process.parent != containerd().pid());
    shims += process.command.find("shim") != std::string::npos;
  }
  CHECK(shims > 0);
}

TEST_CASE_METHOD(IntegrationTest, "The same id can be run again and again",
                 "[run]") {
  for (int round = 0; round < 10; ++round) {
    CAPTURE(round);
    REQUIRE(RunContainer("again", {"/bin/true"}).status == 0);
  }
}

}  // namespace
}  // namespace hydra::testing
