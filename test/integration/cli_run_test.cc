// hydra run, create, start.

#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

TEST_CASE_METHOD(CliTest, "hydra run gives the process's output and status",
                 "[cli][hydra]") {
  const Result result = Hydra(RunArguments(
      {"--rm", "--name", "c"}, {"sh", "-c", "echo out; echo err >&2; exit 7"}));
  CHECK(result.status == 7);
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
  CHECK(Must({"ps", "-aq"}).empty());

  // All of a large output, in order.
  const Result large =
      Hydra(RunArguments({"--rm"}, {"sh", "-c", "seq 100000; exit 3"}));
  CHECK(large.status == 3);
  REQUIRE(Lines(large.out).size() == 100000);
  CHECK(Lines(large.out).back() == "100000");
}

TEST_CASE_METHOD(CliTest, "hydra run says what could not be run",
                 "[cli][hydra]") {
  const auto run = [this](const Arguments& command) {
    return RunArguments({"--name", "c"}, command);
  };
  CHECK(Hydra(run({"nosuch"})).status == 127);
  CHECK(Hydra(run({"/bin/nosuch"})).status == 127);
  CHECK(Hydra(run({"/etc"})).status == 126);
  // A file that may not be executed.
  REQUIRE(WriteFile(rootfs() + "/bin/text", "text"));
  CHECK(Hydra(run({"/bin/text"})).status == 126);
  CHECK(MustFail(run({"nosuch"}), 127)["error"]["message"]
            .get<std::string>()
            .find("nosuch") != std::string::npos);
  for (const char* verb : {"run", "create"}) {
    CHECK(Hydra({verb}).status == 125);
    CHECK(Hydra({verb, "--rootfs", rootfs()}).status == 125);
    CHECK(Hydra({verb, "--rootfs", "/nosuch", "true"}).status == 125);
    CHECK(Hydra({verb, "--bundle", rootfs()}).status == 125);
    CHECK(Hydra({verb, "--bogus"}).status == 125);
    CHECK(Hydra({verb, "--memory", "much", "--rootfs", rootfs(), "true"})
              .status == 125);
  }
  CHECK(Hydra({"run", "-d", "--rootfs", rootfs(), "nosuch"}).status == 127);
  const Json refused =
      MustFail({"run", "-d", "--memory", "1k", "--rootfs", rootfs(), "true"},
               125)["error"];
  CHECK(refused["code"] == "UNKNOWN");
  CHECK(refused["hint"].get<std::string>().find("leaves nothing behind") !=
        std::string::npos);
  // Nothing of all that is kept.
  CHECK(Must({"ps", "-aq"}).empty());

  Start("c", {"sleep", "1000"});
  const Json error = MustFail(run({"true"}), 125)["error"];
  CHECK(error["code"] == "ALREADY_EXISTS");
  CHECK(error["hint"].get<std::string>().find("hydra rm") != std::string::npos);
  CHECK(StatusOf("c") == "running");
}

TEST_CASE_METHOD(CliTest, "One of those who want a name gets it",
                 "[cli][hydra]") {
  std::vector<std::unique_ptr<Session>> rivals;
  for (int i = 0; i < 8; ++i) {
    rivals.push_back(std::make_unique<Session>(
        Command(RunArguments({"-d", "--name", "c"}, {"sleep", "1000"})),
        Options()));
  }
  int winners = 0;
  for (const auto& rival : rivals) {
    const int status = rival->Wait().value_or(-1);
    CHECK((status == 0 || status == 125));
    winners += status == 0 ? 1 : 0;
  }
  CHECK(winners == 1);
  CHECK(Must({"exec", "c", "echo", "a"}) == "a\n");
}

TEST_CASE_METHOD(CliTest, "Nobody reads what hydra run prints",
                 "[cli][hydra]") {
  // Far more than a pipe holds: the container is not held up.
  std::string script;
  for (const std::string& word :
       Command(RunArguments({"--name", "c"}, {"seq", "1000000"}))) {
    script += "'" + word + "' ";
  }
  Session session({"sh", "-c", script + "| head -n 1"}, Options());
  CHECK(session.Wait() == 0);
  CHECK(session.out() == "1\n");
  CHECK(Hydra({"wait", "c"}).status == 0);
  CHECK(Must({"logs", "--tail", "1", "c"}) == "1000000\n");
}

TEST_CASE_METHOD(CliTest, "hydra run passes input on to its end",
                 "[cli][hydra]") {
  const Result copied = Hydra(
      RunArguments({"--rm", "-i"}, {"sh", "-c", "cat; echo done"}), "a\nb\n");
  CHECK(copied.status == 0);
  CHECK(copied.out == "a\nb\ndone\n");
  // Without -i there is none.
  const Result none = Hydra(RunArguments({"--rm"}, {"cat"}), "a\n");
  CHECK(none.status == 0);
  CHECK(none.out.empty());
  // More than all buffers hold.
  const std::string much(1 << 20, 'x');
  const Result counted =
      Hydra(RunArguments({"--rm", "-i"}, {"wc", "-c"}), much);
  CHECK(Words(counted.out) == std::vector<std::string>{"1048576"});
}

TEST_CASE_METHOD(CliTest, "hydra run as JSON", "[cli][hydra]") {
  const Result result =
      Hydra(Join({"--format", "json"},
                 RunArguments({"--name", "c"},
                              {"sh", "-c",
                               "echo h\303\244; printf '\\377' >&2; exit 4"})));
  CHECK(result.status == 4);
  CHECK(result.err.empty());
  const std::vector<Json> objects = ParseLines(result.out);
  REQUIRE(objects.size() >= 4);
  CHECK(objects.front()["type"] == "created");
  CHECK(objects.front()["id"] == "c");
  CHECK(objects.front()["namespace"] == mark());
  CHECK(objects.front()["pid"].get<int>() > 1);
  CHECK(objects.front()["socket"] == Inspect("c")["socket"]);
  CHECK(OutputOf(objects, "stdout") == "h\303\244\n");
  const bool has_base64 =
      std::any_of(objects.begin(), objects.end(), [](const Json& object) {
        return object.value("data_base64", "") == "/w==" &&
               object.value("stream", "") == "stderr";
      });
  CHECK(has_base64);
  CHECK(objects.back()["type"] == "exited");
  CHECK(objects.back()["exit_status"] == 4);
}

TEST_CASE_METHOD(CliTest, "hydra run -d", "[cli][hydra]") {
  const std::string id =
      Must(RunArguments({"-d", "--cidfile", directory() + "/cid", "--pidfile",
                         directory() + "/pid", "--label", "a=b"},
                        {"sleep", "1000"}));
  REQUIRE(id.size() == 13);
  const std::string name = id.substr(0, 12);
  CHECK(ReadFile(directory() + "/cid") == name);
  CHECK(ReadFile(directory() + "/pid") == std::to_string(PidOf(name)));
  CHECK(Inspect(name)["container"]["labels"]["a"] == "b");
  // A beginning is enough, as long as it means one.
  CHECK(StatusOf(name.substr(0, 6)) == "running");
  CHECK(StatusOf(mark() + "/" + name) == "running");

  const Json made =
      MustJson(RunArguments({"-d", "--rm", "--name", "short"}, {"true"}));
  CHECK(made["id"] == "short");
  CHECK(made["pid"].get<int>() > 1);
  CHECK(Eventually([&] { return Must({"ps", "-aq"}) == id; }));
}

TEST_CASE_METHOD(CliTest, "hydra run -it", "[cli][hydra][terminal]") {
  Session session(Command(RunArguments({"-it", "--rm"}, {"sh"})),
                  Options(true));
  session.SetWindowSize(33, 111);
  session.Write("tty; stty size; echo is-$((1 + 1))\r");
  REQUIRE(session.ReadUntil("is-2"));
  CHECK(session.out().find("/dev/pts/0") != std::string::npos);
  // The window's size when it started or since.
  session.Write(
      "while [ \"$(stty size)\" != '44 99' ]; do sleep 0.02; done; "
      "echo resized-$((1 + 1))\r");
  session.SetWindowSize(44, 99);
  REQUIRE(session.ReadUntil("resized-2"));
  // Ctrl-C is the container's. It is for whoever has the terminal: for the
  // inner shell, once that has written.
  session.Write("sh -c 'echo sleep-$((1 + 1)); exec sleep 1000'\r");
  REQUIRE(session.ReadUntil("sleep-2"));
  session.Write("\x03");
  REQUIRE(session.ReadUntil("^C"));
  session.Write("echo alive-$((1 + 1)); exit 9\r");
  REQUIRE(session.ReadUntil("alive-2"));
  CHECK(session.Wait() == 9);

  // Without a terminal there is none to be given.
  CHECK(Hydra(RunArguments({"-it"}, {"true"})).status == 125);
  // One that nobody types into needs none of ours.
  const Result alone = Hydra(RunArguments({"-t", "--rm"}, {"sh", "-c", "tty"}));
  CHECK(alone.status == 0);
  CHECK(alone.out == "/dev/pts/0\r\n");
}

TEST_CASE_METHOD(CliTest, "The detach keys leave a container to itself",
                 "[cli][hydra][terminal]") {
  {
    Session session(
        Command(RunArguments({"-it", "--name", "c"}, EchoingShell())),
        Options(true));
    REQUIRE(session.ReadUntil("ready"));
    // Half of the keys, and something else: it is typed.
    session.Write(
        "\x10"
        "a\r");
    REQUIRE(session.ReadUntil("got"));
    session.Write("\x10\x11");
    CHECK(session.Wait() == 0);
    CHECK(session.out().find("detached from c") != std::string::npos);
  }
  CHECK(StatusOf("c") == "running");
  Session again(Command({"attach", "--detach-keys", "ctrl-a,d", "c"}),
                Options(true));
  again.Write("b\r");
  REQUIRE(again.ReadUntil("got b"));
  again.Write(
      "\x01"
      "d");
  CHECK(again.Wait() == 0);
  CHECK(StatusOf("c") == "running");
  CHECK(Hydra({"attach", "--detach-keys", "ctrl-", "c"}).status == 125);
}

TEST_CASE_METHOD(CliTest, "Signals to hydra run reach the container",
                 "[cli][hydra]") {
  const std::string script =
      "trap 'echo got-usr1' USR1; trap 'echo got-term; exit 11' TERM; echo "
      "ready; while :; do sleep 0.05; done";
  Session session(Command(RunArguments({"--rm"}, {"sh", "-c", script})),
                  Options());
  REQUIRE(session.ReadUntil("ready"));
  session.Signal(SIGUSR1);
  REQUIRE(session.ReadUntil("got-usr1"));
  session.Signal(SIGTERM);
  CHECK(session.Wait() == 11);
  CHECK(session.out() == "ready\ngot-usr1\ngot-term\n");

  // Not those of one that is asked not to, and its death is its own.
  Session other(Command(RunArguments({"--no-sig-proxy", "--name", "c"},
                                     {"sh", "-c", script})),
                Options());
  REQUIRE(other.ReadUntil("ready"));
  other.Signal(SIGTERM);
  CHECK(other.Wait() == 128 + SIGTERM);
  // It has written before the runtime has told that it runs.
  CHECK(WaitForStatus("c", "running"));
  Session killed(Command({"attach", "c"}), Options());
  killed.Signal(SIGKILL);
  CHECK(killed.Wait() == 128 + SIGKILL);
  CHECK(StatusOf("c") == "running");
}

// The runtime has each pid that it writes on the disk before it goes on.
TEST_CASE_METHOD(CliTest, "The pid files of hydra run are not on the disk",
                 "[cli][hydra]") {
  Must(RunArguments({"-d", "--name", "c"}, {"sleep", "1000"}));
  Must({"exec", "-d", "c", "sleep", "1000"});
  const auto pids_below = [](const std::string& directory) {
    std::set<std::string> pids;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(directory)) {
      if (entry.path().extension() == ".pid") {
        pids.insert(ReadFile(entry.path()).value_or(""));
      }
    }
    return pids;
  };
  CHECK(pids_below(run_directory()).contains(std::to_string(PidOf("c"))));
  CHECK(pids_below(state_directory()).empty());
}

TEST_CASE_METHOD(CliTest, "hydra run --timeout kills", "[cli][hydra]") {
  const Json error = MustFail(
      RunArguments({"--rm", "--timeout", "300ms"}, {"sleep", "1000"}), 125);
  CHECK(error["error"]["code"] == "DEADLINE_EXCEEDED");
  // It is gone: there is nothing to ask again for.
  CHECK(error["error"]["hint"].get<std::string>().find("ask again") ==
        std::string::npos);
  CHECK(Must(RunArguments({"--rm", "--timeout", "5m"}, {"echo", "a"})) ==
        "a\n");
  CHECK(Hydra(RunArguments({"--timeout", "soon"}, {"true"})).status == 125);
}

TEST_CASE_METHOD(CliTest, "hydra run of a bundle", "[cli][hydra]") {
  const std::string bundle = directory();
  RunOptions options;
  options.session.directory = bundle;
  REQUIRE(Run({"runc", "spec"}, options).status == 0);
  Json config = Json::parse(ReadFile(bundle + "/config.json").value_or(""));
  config["process"]["terminal"] = false;
  config["process"]["args"] = {"sh", "-c", "echo $A $B $(pwd)"};
  config["process"]["env"].push_back("A=1");
  // What is relative is so to the bundle.
  config["root"] = {{"path", "rootfs"}, {"readonly", false}};
  REQUIRE(WriteFile(bundle + "/config.json", config.dump()));
  CHECK(Must({"run", "--rm", "--bundle", bundle}) == "1 /\n");
  CHECK(Must({"run", "--rm", "--bundle", bundle, "-e", "A=2", "-e", "B=3", "-w",
              "/tmp"}) == "2 3 /tmp\n");
  CHECK(Must({"run", "--rm", "--bundle", bundle, "echo", "other"}) ==
        "other\n");
  CHECK(Hydra({"run", "--bundle", bundle, "--rootfs", rootfs()}).status == 125);
  CHECK(Hydra({"run", "--bundle", bundle, "--privileged"}).status == 125);
  // The bundle stays as it was.
  CHECK(Json::parse(ReadFile(bundle + "/config.json").value_or("")) == config);
  REQUIRE(WriteFile(bundle + "/config.json", "{"));
  CHECK(MustFail({"run", "--bundle", bundle}, 125)["error"]["code"] ==
        "INVALID_ARGUMENT");
}

TEST_CASE_METHOD(CliTest, "hydra create and start", "[cli][hydra]") {
  const Json made =
      MustJson(Join({"create", "--name", "c", "--rootfs", rootfs()},
                    {"sh", "-c", "echo run; exit 6"}));
  CHECK(made["id"] == "c");
  CHECK(StatusOf("c") == "created");
  CHECK(PidOf("c") == made["pid"]);
  const Json started = MustJson({"start", "c"});
  CHECK(started["changed"] == true);
  CHECK(started["pid"] == made["pid"]);
  CHECK(Hydra({"wait", "c"}).status == 6);
  // Once more, and this time with us.
  const Result attached = Hydra({"start", "--attach", "c"});
  CHECK(attached.status == 6);
  CHECK(attached.out == "run\n");
  CHECK(Must({"logs", "c"}) == "run\nrun\n");

  (void)Must(
      Join({"create", "--name", "d", "--rootfs", rootfs()}, {"sleep", "1000"}));
  CHECK(Must({"start", "d"}) == "d\n");
  CHECK(MustJson({"start", "d"})["changed"] == false);
  CHECK(Hydra({"start", "-a", "c", "d"}).status == 125);
  CHECK(Hydra({"start", "nosuch"}).status != 0);
}

}  // namespace
}  // namespace hydra::testing
