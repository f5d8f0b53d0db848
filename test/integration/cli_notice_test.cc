// The paper's own interface: the exit file, the signal that tells of it, and
// l-HYDRA, whose monitor is its caller's child.

#include <signal.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "test/integration/harness/cli.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/installation.h"
#include "test/integration/harness/leftovers.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

// Keeps a signal for the test, which gets it instead of being ended by it.
class Awaited final {
 public:
  explicit Awaited(int signal) {
    sigemptyset(&set_);
    sigaddset(&set_, signal);
    sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  ~Awaited() {
    while (Comes(0)) {
    }
    sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  bool Comes(time_t seconds = 30) const {
    const timespec limit = {seconds, 0};
    return sigtimedwait(&set_, nullptr, &limit) > 0;
  }

 private:
  sigset_t set_;
  sigset_t before_;
};

// A shell that makes a container by `hydra run --lazy`, prints the monitor's
// pid, and when it reads a line waits for the monitor and prints its status.
Arguments LazyCaller(const CliTest& test, const Arguments& run) {
  std::string script;
  for (const std::string& word : test.Command(run)) script += "'" + word + "' ";
  return {"sh", "-c",
          script + "& echo monitor $!; read -r x; wait $!; echo status $?"};
}

TEST_CASE_METHOD(CliTest, "The exit status in a file, then a signal",
                 "[cli][hydra][notice]") {
  const std::string exits = directory() + "/exits";
  fs::create_directory(exits);
  const std::string self = std::to_string(getpid());
  {
    const Awaited notice(SIGRTMIN + 10);
    Start("c", {"sh", "-c", "exit 7"},
          {"--exit-dir", exits, "--notify-pid", self});
    REQUIRE(notice.Comes());
    // The file was there before.
    CHECK(ReadFile(exits + "/c") == "7\n");
  }
  const Awaited notice(SIGUSR2);
  Start("d", EchoingShell(),
        {"-i", "--exit-dir", exits, "--notify-pid", self, "--notify-signal",
         "USR2"});
  CHECK_FALSE(fs::exists(exits + "/d"));
  // Whatever happens to the head meanwhile.
  kill(Inspect("d")["head"]["pid"].get<pid_t>(), SIGKILL);
  CHECK(Hydra({"attach", "d"}, "end\n").status == 5);
  REQUIRE(notice.Comes());
  CHECK(ReadFile(exits + "/d") == "5\n");
  // The file is the caller's, and stays.
  (void)Must({"rm", "d"});
  CHECK(fs::exists(exits + "/d"));

  CHECK(Hydra(RunArguments({"--rm", "--exit-dir", exits, "--name", "e"},
                           {"sh", "-c", "kill -9 $$; exit 200"}))
            .status == 200);
  CHECK(ReadFile(exits + "/e") == "200\n");
}

TEST_CASE_METHOD(CliTest, "An exit while the one to be notified is dead",
                 "[cli][hydra][notice]") {
  const std::string exits = directory() + "/exits";
  fs::create_directory(exits);
  {
    Session manager({"sleep", "1000"});
    Start("c", EchoingShell(),
          {"-i", "--exit-dir", exits, "--notify-pid",
           std::to_string(manager.pid()), "--notify-signal", "TERM"});
    manager.Signal(SIGKILL);
    CHECK(manager.Wait() == 128 + SIGKILL);
  }
  CHECK(Hydra({"attach", "c"}, "end\n").status == 5);
  // Whoever comes back finds it.
  CHECK(Eventually([&] { return ReadFile(exits + "/c") == "5\n"; }));
  CHECK(StatusOf("c") == "exited");
  CHECK(Hydra(RunArguments({"--notify-pid", "4194304"}, {"true"})).status ==
        125);
}

TEST_CASE_METHOD(CliTest, "HYDRA and l-HYDRA in the tree of processes",
                 "[cli][hydra][notice]") {
  Start("hydra", {"sleep", "1000"});
  const pid_t init = ParentOf(Inspect("hydra")["monitor"]["pid"].get<pid_t>());
  const std::string exits = directory() + "/exits";
  fs::create_directory(exits);
  Session caller(LazyCaller(*this, RunArguments({"--lazy", "-i", "--name",
                                                 "lazy", "--exit-dir", exits},
                                                EchoingShell())),
                 Options());
  REQUIRE(caller.ReadUntil("monitor "));
  REQUIRE(caller.ReadUntil("lazy\n"));
  const Json before = Inspect("lazy");
  const pid_t monitor = before["monitor"]["pid"];
  const pid_t container = before["container"]["pid"];
  // A single fork, the caller's own.
  CHECK(caller.out().find("monitor " + std::to_string(monitor) + "\n") !=
        std::string::npos);
  CHECK(ParentOf(monitor) == caller.pid());
  CHECK(ParentOf(container) == monitor);
  CHECK(ParentOf(Inspect("hydra")["container"]["pid"].get<pid_t>()) ==
        Inspect("hydra")["monitor"]["pid"].get<pid_t>());

  caller.Signal(SIGKILL);
  CHECK(caller.Wait() == 128 + SIGKILL);
  CHECK(Eventually([&] { return ParentOf(monitor) == init; }));
  // The container has noticed nothing.
  CHECK(ParentOf(container) == monitor);
  const Json after = Inspect("lazy");
  CHECK(after["monitor"]["pid"] == monitor);
  CHECK(after["head"]["pid"] == before["head"]["pid"]);
  CHECK(after["container"]["pid"] == container);
  const Result talked = Hydra({"attach", "lazy"}, "a\nend\n");
  CHECK(talked.status == 5);
  CHECK(talked.out.find("got a\n") != std::string::npos);
  CHECK(Eventually([&] { return ReadFile(exits + "/lazy") == "5\n"; }));
}

TEST_CASE_METHOD(CliTest, "The caller of l-HYDRA reaps the monitor",
                 "[cli][hydra][notice]") {
  Session caller(LazyCaller(*this, RunArguments({"--lazy", "--name", "c"},
                                                {"sleep", "1000"})),
                 Options());
  REQUIRE(caller.ReadUntil("c\n"));
  CHECK(StatusOf("c") == "running");
  (void)Must({"rm", "-f", "c"});
  caller.Write("\n");
  CHECK(caller.Wait() == 0);
  CHECK(caller.out().find("status 0\n") != std::string::npos);
}

TEST_CASE_METHOD(CliTest, "A start of l-HYDRA that fails",
                 "[cli][hydra][notice]") {
  const auto status = [this](const Arguments& run) {
    Session caller(LazyCaller(*this, run), Options());
    caller.Write("\n");
    CHECK(caller.Wait() == 0);
    const size_t at = caller.out().find("status ");
    return at == std::string::npos ? -1
                                   : std::stoi(caller.out().substr(at + 7));
  };
  CHECK(status({"run", "--lazy", "--rootfs", "/nosuch", "true"}) == 125);
  CHECK(status(RunArguments({"--lazy", "--memory", "x"}, {"true"})) == 125);
  // The process is the monitor by then.
  CHECK(status(RunArguments({"--lazy", "--name", "c"}, {"nosuch"})) > 0);
  CHECK(Eventually([&] { return Must({"ps", "-aq"}).empty(); }));
  Start("c", {"sleep", "1000"});
  CHECK(status(RunArguments({"--lazy", "--name", "c"}, {"true"})) == 125);
  CHECK(StatusOf("c") == "running");
}

TEST_CASE_METHOD(CliTest, "A monitor of l-HYDRA that cannot serve",
                 "[cli][hydra][notice]") {
  Installation installation;
  const auto errors = [&](const std::string& monitor) {
    installation.Replace(installation.monitor(), "#!/bin/sh\n" + monitor);
    Session caller(
        LazyCaller(*this, RunArguments({"--lazy", "--name", "c"}, {"true"})),
        Options());
    REQUIRE(caller.ReadUntil([&] { return caller.err().ends_with('\n'); }));
    caller.Write("\n");
    CHECK(caller.Wait() == 0);
    CHECK(caller.out().find("status 3\n") != std::string::npos);
    CHECK(Must({"ps", "-aq"}).empty());
    return Lines(caller.err()).front();
  };
  CHECK(errors("printf 'hydra-monitor: epoll_create1: EMFILE' >&4; exit 3\n") ==
        "hydra run: start hydra-monitor: epoll_create1: EMFILE");
  CHECK(errors("exit 3\n") ==
        "hydra run: start hydra-monitor: it ended before it was ready");
}

}  // namespace
}  // namespace hydra::testing
