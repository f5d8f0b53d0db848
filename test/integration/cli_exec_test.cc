// hydra exec, attach, logs.

#include <signal.h>

#include <catch2/catch.hpp>
#include <string>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

TEST_CASE_METHOD(CliTest, "hydra exec", "[cli][hydra]") {
  Start("c", {"sleep", "1000"}, {"-e", "A=1"});
  const Result result =
      Hydra({"exec", "c", "sh", "-c", "echo out $A $B; echo err >&2; exit 7"});
  CHECK(result.status == 7);
  CHECK(result.out == "out 1\n");
  CHECK(result.err == "err\n");
  // Options of the program are its own.
  CHECK(Must({"exec", "-e", "B=2", "-w", "/tmp", "-u", "7:8", "c", "sh", "-c",
              "echo $A$B $(pwd) $(id -u):$(id -g)"}) == "12 /tmp 7:8\n");
  CHECK(Hydra({"exec", "-i", "c", "cat"}, "a\nb\n").out == "a\nb\n");
  CHECK(Hydra({"exec", "c", "cat"}, "a\nb\n").out.empty());

  CHECK(Hydra({"exec", "c", "sh", "-c", "kill -9 $$"}).status == 137);
  CHECK(Hydra({"exec", "c", "nosuch"}).status == 127);
  CHECK(Hydra({"exec", "c", "/bin/nosuch"}).status == 127);
  CHECK(Hydra({"exec", "c", "/etc"}).status == 126);
  CHECK(Hydra({"exec", "-w", "/nosuch", "c", "true"}).status != 0);
  CHECK(Hydra({"exec", "-u", "nobody-here", "c", "true"}).status == 125);
  CHECK(Hydra({"exec", "nosuch", "true"}).status == 125);
  CHECK(Hydra({"exec", "c"}).status == 125);
  CHECK(Hydra({"exec"}).status == 125);
  CHECK(MustFail({"exec", "nosuch", "true"}, 125)["error"]["code"] ==
        "NOT_FOUND");
  CHECK(MustFail({"exec", "--timeout", "300ms", "c", "sleep", "1000"},
                 125)["error"]["code"] == "DEADLINE_EXCEEDED");
  // Whatever became of them, nothing of them is kept.
  CHECK(Eventually([&] {
    return Inspect("c")["container"]["execs"].empty() &&
           MustLines({"top", "--no-stream", "c"}).size() == 1;
  }));

  (void)Must({"stop", "-t", "0", "c"});
  CHECK(MustFail({"exec", "c", "true"}, 125)["error"]["code"] ==
        "FAILED_PRECONDITION");
}

TEST_CASE_METHOD(CliTest, "hydra exec as JSON, and detached", "[cli][hydra]") {
  Start("c", {"sleep", "1000"});
  const Result result = Hydra({"exec", "--format", "json", "c", "sh", "-c",
                               "echo out; echo err >&2; exit 3"});
  CHECK(result.status == 3);
  const std::vector<Json> objects = ParseLines(result.out);
  CHECK(OutputOf(objects, "stdout") == "out\n");
  CHECK(OutputOf(objects, "stderr") == "err\n");
  CHECK(objects.back()["type"] == "exited");
  CHECK(objects.back()["exit_status"] == 3);

  const Json made =
      MustJson({"exec", "-d", "c", "sh", "-c", "echo $$ > /pid; sleep 1000"});
  CHECK(made["exec_id"].get<std::string>().size() == 12);
  const std::string pid = std::to_string(made["pid"].get<int>());
  CHECK(ReadFile("/proc/" + pid + "/cgroup") ==
        ReadFile("/proc/" + std::to_string(PidOf("c")) + "/cgroup"));
  CHECK(Must({"exec", "-d", "c", "true"}).empty());
  CHECK(Hydra({"exec", "-d", "c", "nosuch"}).status == 127);
}

TEST_CASE_METHOD(CliTest, "hydra exec -it", "[cli][hydra][terminal]") {
  Start("c", {"sleep", "1000"});
  Session session(Command({"exec", "-it", "c", "sh"}), Options(true));
  session.SetWindowSize(33, 111);
  session.Write("tty; echo is-$((1 + 1))\r");
  REQUIRE(session.ReadUntil("is-2"));
  CHECK(session.out().find("/dev/pts/0") != std::string::npos);
  session.SetWindowSize(44, 99);
  session.Write(
      "while [ \"$(stty size)\" != '44 99' ]; do sleep 0.02; done; "
      "echo resized-$((1 + 1))\r");
  REQUIRE(session.ReadUntil("resized-2"));
  session.Write("exit 9\r");
  CHECK(session.Wait() == 9);

  Session left(Command({"exec", "-it", "c", "sh"}), Options(true));
  left.Write("echo is-$((1 + 1))\r");
  REQUIRE(left.ReadUntil("is-2"));
  left.Write("\x10\x11");
  CHECK(left.Wait() == 0);
  // It runs on by itself; the terminal's end comes with the container's.
  CHECK(MustLines({"top", "--no-stream", "c"}).size() == 2);
}

TEST_CASE_METHOD(CliTest, "Signals to hydra exec reach the process",
                 "[cli][hydra]") {
  Start("c", {"sleep", "1000"});
  Session session(
      Command({"exec", "c", "sh", "-c",
               "trap 'echo got; exit 11' TERM; echo ready; while :; do sleep "
               "0.05; done"}),
      Options());
  REQUIRE(session.ReadUntil("ready"));
  session.Signal(SIGTERM);
  CHECK(session.Wait() == 11);
  CHECK(session.out() == "ready\ngot\n");
  CHECK(StatusOf("c") == "running");
}

TEST_CASE_METHOD(CliTest, "Two are attached, and one types", "[cli][hydra]") {
  Start("c", EchoingShell(), {"-i"});
  REQUIRE(WaitForLog("c", "ready"));
  Session first(Command({"attach", "--replay", "64k", "c"}), Options());
  Session second(Command({"attach", "--no-stdin", "c"}), Options());
  REQUIRE(first.ReadUntil("ready"));
  // The second one is there when it has seen something.
  REQUIRE(Eventually([&] {
    first.Write("a\n");
    // It is written while more is waited for.
    const size_t seen = first.out().size();
    first.ReadUntil([&] { return first.out().size() > seen; },
                    Milliseconds(200));
    return second.ReadUntil("got a", Milliseconds(200));
  }));
  Session third(Command({"attach", "--format", "json", "--replay", "1m", "c"}),
                Options());
  REQUIRE(third.ReadUntil("got a"));
  first.Write("end\n");
  CHECK(first.Wait() == 5);
  CHECK(second.Wait() == 5);
  CHECK(third.Wait() == 5);
  const std::string all = Must({"logs", "c"});
  CHECK(first.out() == all);
  CHECK(all.find("ready\ngot a\n") == 0);
  CHECK(second.out().find("ready") == std::string::npos);
  const std::vector<Json> objects = ParseLines(third.out());
  CHECK(OutputOf(objects, "stdout") == all);
  CHECK(objects.back()["exit_status"] == 5);

  CHECK(MustFail({"attach", "c"}, 125)["error"]["code"] ==
        "FAILED_PRECONDITION");
  CHECK(Hydra({"attach", "nosuch"}).status == 125);
  CHECK(Hydra({"attach", "--replay", "much", "c"}).status == 125);
}

TEST_CASE_METHOD(CliTest, "The end of an attached input is the container's",
                 "[cli][hydra]") {
  Start("c", EchoingShell(), {"-i"});
  const Result result = Hydra({"attach", "--replay", "1k", "c"}, "a\n");
  CHECK(result.status == 0);
  CHECK(result.out == "ready\ngot a\neof\n");
}

TEST_CASE_METHOD(CliTest, "hydra logs", "[cli][hydra]") {
  Start("c", {"sh", "-c",
              "echo 1; echo 2 >&2; echo 3; printf 4; read -r x < /dev/null; "
              "exit 1"});
  CHECK(Hydra({"wait", "c"}).status == 1);
  const Result all = Hydra({"logs", "c"});
  CHECK(all.out == "1\n3\n4");
  CHECK(all.err == "2\n");
  CHECK(Must({"logs", "--tail", "1", "c"}) == "4");
  CHECK(Must({"logs", "--tail", "0", "c"}).empty());
  CHECK(Must({"logs", "--tail", "all", "c"}) == "1\n3\n4");
  CHECK(Must({"logs", "--since", "1h", "c"}) == "1\n3\n4");
  CHECK(Must({"logs", "--until", "1h", "c"}).empty());
  CHECK(Must({"logs", "--stream", "stderr", "c"}).empty());
  CHECK(Hydra({"logs", "--tail", "x", "c"}).status == 2);
  CHECK(Hydra({"logs", "--since", "x", "c"}).status == 2);
  CHECK(Hydra({"logs", "nosuch"}).status == 1);

  const std::vector<Json> lines = MustLines({"logs", "c"});
  CHECK(OutputOf(lines, "stdout") == "1\n3\n4");
  CHECK(OutputOf(lines, "stderr") == "2\n");
  CHECK(lines.front().contains("time"));
  CHECK(lines.front()["position"] == 0);
  // Each line of them with its time.
  for (const std::string& line : Lines(Must({"logs", "-t", "c"}))) {
    CHECK(line.find("Z ") == 29);
  }

  // It ends when the container does, and not before.
  Start("d", EchoingShell(), {"-i"});
  Session follow(Command({"logs", "-f", "d"}), Options());
  REQUIRE(follow.ReadUntil("ready"));
  Session writer(Command({"attach", "d"}), Options());
  writer.Write("a\n");
  REQUIRE(writer.ReadUntil("got a"));
  REQUIRE(follow.ReadUntil("got a"));
  writer.Write("end\n");
  CHECK(writer.Wait() == 5);
  CHECK(follow.Wait() == 0);
  CHECK(follow.out() == "ready\ngot a\n");

  Start("e", {"echo", "a"}, {"--log-max-size", "0"});
  CHECK(Hydra({"wait", "e"}).status == 0);
  const Result none = Hydra({"logs", "e"});
  CHECK(none.out.empty());
  CHECK(none.err.find("keeps no log") != std::string::npos);
}

TEST_CASE_METHOD(CliTest, "A log holds at most what it may", "[cli][hydra]") {
  Start("c", {"sh", "-c", "seq 1000000"}, {"--log-max-size", "1m"});
  CHECK(Hydra({"wait", "c"}).status == 0);
  const std::vector<std::string> lines = Lines(Must({"logs", "c"}));
  REQUIRE_FALSE(lines.empty());
  CHECK(lines.back() == "1000000");
  CHECK(lines.size() < 600000);
  // As many as there are, without a gap.
  CHECK(std::stoul(lines[1]) + lines.size() - 2 == 1000000);
}

}  // namespace
}  // namespace hydra::testing
