// The same scripts under the reference shim and under hydra: events, exit
// codes and error texts are the same, but for a list of differences that are
// meant.

#include <catch2/catch.hpp>
#include <map>
#include <regex>

#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

// What a script has shown, by the step's name.
using Transcript = std::map<std::string, std::string>;

// Differences that are meant: "script/step", and why. Empty so far; a new one
// needs its reason here.
const std::map<std::string, std::string> kMeant = {};

// Masks what no two runs share.
std::string Normalised(std::string text, IntegrationTest* test) {
  const std::string mark = test->containerd().mark();
  for (size_t at = text.find(mark); at != std::string::npos;
       at = text.find(mark)) {
    text.replace(at, mark.size(), "MARK");
  }
  static const std::regex kTime("time=\"[^\"]*\"");
  static const std::regex kPid("\\bpid [0-9]+|process_linux.go:[0-9]+");
  text = std::regex_replace(text, kTime, "time=TIME");
  return std::regex_replace(text, kPid, "PID");
}

class Recorder {
 public:
  explicit Recorder(IntegrationTest* test) : test_(test) {}

  void Record(const std::string& step, const Result& result) {
    transcript_[step] = "status " + std::to_string(result.status) + "\nerr " +
                        Normalised(result.err, test_);
  }
  void Record(const std::string& step, const RawReply& reply) {
    transcript_[step] = "code " + std::to_string(static_cast<int>(reply.code)) +
                        "\nmessage " + Normalised(reply.message, test_);
  }
  template <typename Message>
  void Record(const std::string& step, const Reply<Message>& reply) {
    Record(step, RawReply{reply.code, reply.message, {}});
  }
  void RecordText(const std::string& step, const std::string& text) {
    transcript_[step] = Normalised(text, test_);
  }
  // The events of `id` when the last one, `topic`, has come.
  void RecordEvents(const std::string& step, const std::string& id,
                    const std::string& topic) {
    (void)test_->events().WaitFor(topic, id, Milliseconds(10'000));
    std::string summary = test_->events().Summary(id);
    // containerd 2's own shim at times ends before its last event is out.
    const size_t gone = summary.find(" delete=");
    if (TestEngine().major() >= 2 && gone != std::string::npos) {
      summary.erase(gone);
    }
    transcript_[step] = summary;
  }
  IntegrationTest& test() { return *test_; }
  const Transcript& transcript() const { return transcript_; }

 private:
  IntegrationTest* test_;
  Transcript transcript_;
};

void RunAndExit(Recorder* recorder) {
  for (const char* command : {"exit 0", "exit 1", "exit 77"}) {
    const std::string id = std::string("r") + (command + sizeof("exit"));
    recorder->Record(
        command, recorder->test().RunContainer(id, {"/bin/sh", "-c", command}));
    recorder->RecordEvents(std::string("events of ") + command, id,
                           "/tasks/delete");
  }
}

void Errors(Recorder* recorder) {
  IntegrationTest& test = recorder->test();
  recorder->Record("no program", test.RunContainer("a", {"/no/such"}));
  recorder->Record("directory", test.RunContainer("b", {"/etc"}));
  recorder->Record("bad cwd", test.RunContainer("c", {"/bin/true"},
                                                {"--rm", "--cwd", "/no/dir"}));
  recorder->Record(
      "bad mount",
      test.RunContainer(
          "d", {"/bin/true"},
          {"--rm", "--mount", "type=bind,src=/no/such,dst=/x,options=rbind"}));
}

void KillAndDelete(Recorder* recorder) {
  IntegrationTest& test = recorder->test();
  test.StartDetached("c", {"/bin/sleep", "1000"});
  recorder->Record("delete running", test.Ctr({"tasks", "rm", "c"}));
  recorder->Record("kill", test.Ctr({"tasks", "kill", "-s", "KILL", "c"}));
  test.WaitForStatus("c", "STOPPED");
  recorder->Record("kill dead", test.Ctr({"tasks", "kill", "c"}));
  recorder->Record("pause dead", test.Ctr({"tasks", "pause", "c"}));
  recorder->Record("resume dead", test.Ctr({"tasks", "resume", "c"}));
  recorder->Record("exec dead", test.Exec("c", "e", {"/bin/true"}));
  recorder->Record("delete", test.Ctr({"tasks", "rm", "c"}));
  recorder->RecordEvents("events", "c", "/tasks/delete");
  recorder->Record("kill gone", test.Ctr({"tasks", "kill", "c"}));
}

void Execs(Recorder* recorder) {
  IntegrationTest& test = recorder->test();
  test.StartDetached("c", {"/bin/sleep", "1000"});
  recorder->Record("true", test.Exec("c", "e1", {"/bin/true"}));
  recorder->Record("status 5",
                   test.Exec("c", "e2", {"/bin/sh", "-c", "exit 5"}));
  recorder->Record("signal",
                   test.Exec("c", "e3", {"/bin/sh", "-c", "kill -9 $$"}));
  recorder->Record("no program", test.Exec("c", "e4", {"/no/such"}));
  recorder->Record("bad cwd",
                   test.Exec("c", "e5", {"/bin/true"}, {"--cwd", "/no/dir"}));
  test.MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  recorder->RecordEvents("events", "c", "/tasks/exit");
  (void)test.events().WaitFor([](const TaskEvent& event) {
    return event.topic == "/tasks/exit" && event.exec_id == "c";
  });
  recorder->RecordText("events", test.events().Summary("c"));
}

void PauseAndResume(Recorder* recorder) {
  IntegrationTest& test = recorder->test();
  test.StartDetached("c", {"/bin/sleep", "1000"});
  recorder->Record("resume running", test.Ctr({"tasks", "resume", "c"}));
  recorder->Record("pause", test.Ctr({"tasks", "pause", "c"}));
  recorder->RecordText("status", test.TaskStatus("c"));
  recorder->Record("pause again", test.Ctr({"tasks", "pause", "c"}));
  recorder->Record("exec paused", test.Exec("c", "e", {"/bin/true"}));
  recorder->Record("delete paused", test.Ctr({"tasks", "rm", "c"}));
  recorder->Record("resume", test.Ctr({"tasks", "resume", "c"}));
  test.MustCtr({"tasks", "kill", "-s", "KILL", "c"});
  recorder->RecordEvents("events", "c", "/tasks/exit");
}

void OutOfMemory(Recorder* recorder) {
  IntegrationTest& test = recorder->test();
  const std::string limit = "33554432";
  recorder->Record("run", test.RunContainer("c", {"/payload/eat-memory", "256"},
                                            {"--rm", "--memory-limit", limit}));
  // Not deleted at once: on cgroup v1, containerd's own shim keeps an OOM to
  // itself if the cgroup is gone when it looks.
  test.StartDetached("d", {"/payload/eat-memory", "256"},
                     {"--null-io", "--memory-limit", limit});
  recorder->RecordText("oom event", test.events().WaitFor("/tasks/oom", "d")
                                        ? "seen"
                                        : "not seen");
}

// Straight to the shim: codes and messages that ctr words differently.
void ShimErrors(Recorder* recorder) {
  IntegrationTest& test = recorder->test();
  test.StartDetached("c", {"/bin/sleep", "1000"});
  auto shim = test.Shim("c");
  TaskClient task(shim.get());
  recorder->Record("state unknown", task.State("nobody"));
  recorder->Record("state unknown exec", task.State("c", "e"));
  recorder->Record("start running", task.Start("c"));
  recorder->Record("delete running", task.Delete("c"));
  recorder->Record("kill unknown exec", task.Kill("c", 9, "e"));
  recorder->Record("exec", task.Exec("c", "e", "exec sleep 1000"));
  recorder->Record("exec again", task.Exec("c", "e", "true"));
  recorder->Record("kill exec not started", task.Kill("c", 9, "e"));
  recorder->Record("start exec", task.Start("c", "e"));
  // From 1.7 on, containerd's own shim crashes at the end of a container in
  // which an exec was started twice.
  if (TestEngine().major() == 1 && TestEngine().minor() < 7) {
    recorder->Record("start exec again", task.Start("c", "e"));
  }
  recorder->Record("delete running exec", task.Delete("c", "e"));
  recorder->Record("kill exec", task.Kill("c", 9, "e"));
  recorder->Record("wait exec", task.Wait("c", "e"));
  recorder->Record("kill exec again", task.Kill("c", 9, "e"));
  recorder->Record("start dead exec", task.Start("c", "e"));
  recorder->Record("delete exec", task.Delete("c", "e"));
  recorder->Record("delete exec again", task.Delete("c", "e"));
  recorder->Record("connect unknown", task.Connect("nobody"));
  recorder->Record("kill bad signal", task.Kill("c", 0));
  recorder->Record("kill", task.Kill("c", 9));
  recorder->Record("wait", task.Wait("c"));
  recorder->Record("kill dead", task.Kill("c", 9));
  recorder->Record("start dead", task.Start("c"));
  recorder->Record("exec dead", task.Exec("c", "x", "true"));
  recorder->Record("delete", task.Delete("c"));
  recorder->Record("delete again", task.Delete("c"));
  recorder->Record("wait deleted", task.Wait("c"));
  test.SeeOff(&task, "c");
}

Transcript Play(const std::string& runtime, void (*script)(Recorder*)) {
  IntegrationTest test(runtime);
  test.events();
  Recorder recorder(&test);
  script(&recorder);
  return recorder.transcript();
}

TEST_CASE("Scripts give the same under the reference shim and under hydra",
          "[parity][engines]") {
  const struct {
    const char* name;
    void (*script)(Recorder*);
  } scripts[] = {{"run", RunAndExit},        {"errors", Errors},
                 {"kill", KillAndDelete},    {"exec", Execs},
                 {"pause", PauseAndResume},  {"oom", OutOfMemory},
                 {"shim errors", ShimErrors}};
  const std::string subject =
      TestRuntime() == kReferenceRuntime ? kReferenceRuntime : kHydraRuntime;
  for (const auto& [name, script] : scripts) {
    CAPTURE(name);
    const Transcript reference = Play(kReferenceRuntime, script);
    Transcript hydra = Play(subject, script);
    for (const auto& [step, expected] : reference) {
      CAPTURE(step);
      const bool meant = kMeant.count(std::string(name) + "/" + step) > 0;
      if (!meant) CHECK(hydra[step] == expected);
    }
    CHECK(hydra.size() == reference.size());
  }
}

}  // namespace
}  // namespace hydra::testing
