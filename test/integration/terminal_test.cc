// Containers and execs with a terminal.

#include <catch2/catch.hpp>

#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

SessionOptions WithTerminal() {
  SessionOptions options;
  options.terminal = true;
  return options;
}

TEST_CASE_METHOD(IntegrationTest, "A container with a terminal talks and ends",
                 "[terminal][engines]") {
  Session session(
      containerd().CtrCommand(RunArguments("c", {"/bin/sh"}, {"--rm", "-t"})),
      WithTerminal());
  session.Write("test -t 0 && echo is-a-$((40 + 2))-tty\r");
  REQUIRE(session.ReadUntil("is-a-42-tty"));
  session.Write("exit 5\r");
  CHECK(session.Wait() == 5);
}

TEST_CASE_METHOD(IntegrationTest, "A container's terminal has ctr's size",
                 "[terminal][engines]") {
  Session session(
      containerd().CtrCommand(RunArguments("c", {"/bin/sh"}, {"--rm", "-t"})),
      WithTerminal());
  // ctr sends the size after the start, so it is asked for until it is there.
  session.Write(
      "until test \"$(stty size)\" = '24 80'; do sleep 0.05; done; "
      "echo first-$((1 + 1))\r");
  REQUIRE(session.ReadUntil("first-2"));
  session.SetWindowSize(50, 132);
  session.Write(
      "until test \"$(stty size)\" = '50 132'; do sleep 0.05; done; "
      "echo second-$((1 + 1))\r");
  REQUIRE(session.ReadUntil("second-2"));
  session.Write("exit\r");
  CHECK(session.Wait() == 0);
}

TEST_CASE_METHOD(IntegrationTest, "Control-C reaches a container's terminal",
                 "[terminal]") {
  Session session(
      containerd().CtrCommand(RunArguments(
          "c",
          {"/bin/sh", "-c",
           "trap 'echo got-int-$((1 + 1)); exit 3' INT; echo ready-$((1 + 1));"
           " while true; do sleep 0.05; done"},
          {"--rm", "-t"})),
      WithTerminal());
  REQUIRE(session.ReadUntil("ready-2"));
  session.Write("\x03");
  CHECK(session.ReadUntil("got-int-2"));
  CHECK(session.Wait() == 3);
}

TEST_CASE_METHOD(IntegrationTest, "An exec with a terminal talks and ends",
                 "[terminal][exec][engines]") {
  StartDetached("c", {"/bin/sleep", "1000"});
  Session session(
      containerd().CtrCommand(ExecArguments("c", "e", {"/bin/sh"}, {"-t"})),
      WithTerminal());
  session.Write("test -t 0 && echo is-a-$((40 + 2))-tty\r");
  REQUIRE(session.ReadUntil("is-a-42-tty"));
  session.Write("exit 6\r");
  CHECK(session.Wait() == 6);
}

}  // namespace
}  // namespace hydra::testing
