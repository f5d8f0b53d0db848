// hydra.v1.Instance/Attach.

#include <signal.h>

#include <catch2/catch.hpp>
#include <string>

#include "test/integration/harness/attached.h"
#include "test/integration/harness/native_container.h"
#include "test/integration/harness/stream_client.h"

namespace hydra::testing {
namespace {

TEST_CASE_METHOD(IntegrationTest, "Attached to pipes",
                 "[grpc][streams][hydra]") {
  NativeContainer container(
      this, "c",
      {"/bin/sh", "-c",
       "echo before; while read -r x; do echo got $x; done; exit 7"});
  container.request().set_input(true);
  container.Run();
  Attached first(container.socket());
  REQUIRE(first.Replay(1000));
  CHECK_FALSE(first.started().terminal());
  CHECK(first.started().input());
  REQUIRE(first.TakeUntil("before\n"));
  REQUIRE(first.Write("one\n"));
  REQUIRE(first.TakeUntil("got one\n"));
  CHECK(first.last().stream() == v1::STDOUT);

  // Another one sees what comes from now on, or from where it says.
  Attached second(container.socket());
  REQUIRE(second.Start());
  Attached third(container.socket());
  REQUIRE(third.Replay(4));
  v1::AttachStart start;
  start.mutable_from()->set_position(first.last().position());
  Attached fourth(container.socket());
  REQUIRE(fourth.Start(start));
  REQUIRE(second.Write("two\n"));
  for (Attached* attached : {&first, &second, &third, &fourth}) {
    REQUIRE(attached->TakeUntil("got two\n"));
  }
  CHECK(first.text() == "before\ngot one\ngot two\n");
  CHECK(second.text() == "got two\n");
  CHECK(third.text() == "one\ngot two\n");
  CHECK(fourth.text() == "got one\ngot two\n");

  // One leaves, which the others do not notice; the end comes from another.
  first.client().Cancel();
  CHECK(first.TakeAll().code == Code::kCancelled);
  REQUIRE(third.CloseInput());
  for (Attached* attached : {&second, &third, &fourth}) {
    const RawReply end = attached->TakeAll();
    CAPTURE(end.message);
    CHECK(end.code == Code::kOk);
    CHECK(attached->ended() == 7u);
    CHECK(attached->refused().empty());
  }
  // It has ended, and says so at once.
  Attached late(container.socket());
  REQUIRE(late.Replay(8));
  CHECK(late.TakeAll().code == Code::kOk);
  CHECK(late.text() == "got two\n");
  CHECK(late.ended() == 7u);
}

TEST_CASE_METHOD(IntegrationTest, "Attached to a terminal",
                 "[grpc][streams][terminal][hydra]") {
  NativeContainer container(this, "c", {"/bin/sh"}, true);
  container.request().set_input(true);
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Start());
  CHECK(attached.started().terminal());
  CHECK(attached.started().input());
  REQUIRE(attached.Resize(40, 132));
  REQUIRE(attached.Write("stty size; echo size-$((1 + 1))\r"));
  REQUIRE(attached.TakeUntil("size-2"));
  CHECK(attached.text().find("40 132") != std::string::npos);
  CHECK(attached.last().stream() == v1::CONSOLE);
  REQUIRE(attached.Resize(50, 100));
  REQUIRE(attached.Write("stty size; echo size-$((1 + 2))\r"));
  REQUIRE(attached.TakeUntil("size-3"));
  CHECK(attached.text().find("50 100") != std::string::npos);
  REQUIRE(attached.Resize(1 << 20, 1));
  REQUIRE(attached.TakeRefusal());
  CHECK(attached.refused()[0].code() ==
        static_cast<int>(Code::kInvalidArgument));

  // Away and back again.
  attached.client().Cancel();
  (void)attached.TakeAll();
  Attached again(container.socket());
  REQUIRE(again.Replay(100));
  REQUIRE(again.TakeUntil("size-3"));
  REQUIRE(again.Write("exit 5\r"));
  CHECK(again.TakeAll().code == Code::kOk);
  CHECK(again.ended() == 5u);
}

TEST_CASE_METHOD(IntegrationTest, "Input of any size arrives whole",
                 "[grpc][streams][hydra]") {
  NativeContainer container(this, "c", {"/bin/cat"});
  container.request().set_input(true);
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Start());
  std::string input;
  while (input.size() < (3 << 20)) {
    input += std::to_string(input.size()) + "\n";
  }
  std::string all = input;
  REQUIRE(attached.Write(input));
  for (const size_t size : {1, 65535, 65536, 65537, 200'000}) {
    REQUIRE(attached.Write(input.substr(0, size)));
    all += input.substr(0, size);
  }
  REQUIRE(attached.CloseInput());
  // Nothing more to say; the output comes all the same.
  REQUIRE(attached.client().WritesDone());
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.ended() == 0u);
  CHECK(attached.text().size() == all.size());
  CHECK((attached.text() == all));
}

TEST_CASE_METHOD(IntegrationTest, "Input that waits holds up nothing else",
                 "[grpc][streams][terminal][hydra]") {
  // It reads nothing until it is told to by a signal.
  NativeContainer container(
      this, "c",
      {"/bin/sh", "-c",
       "stty raw -echo; trap 'stty size' WINCH; trap 'go=1' USR1; "
       "echo ready; while test -z \"$go\"; do sleep 0.05; done; "
       "head -c 2000000 | wc -c"},
      true);
  container.request().set_input(true);
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Replay(100));
  REQUIRE(attached.TakeUntil("ready"));
  REQUIRE(attached.Write(std::string(2'000'000, 'x')));
  REQUIRE(attached.Resize(33, 77));
  REQUIRE(attached.TakeUntil("33 77"));
  REQUIRE(attached.Resize(34, 78));
  REQUIRE(attached.TakeUntil("34 78"));
  // More input than there is room for holds up the client.
  bool is_held_up = false;
  for (int i = 0; i < 20 && !is_held_up; ++i) {
    is_held_up = !attached.Write(std::string(1 << 20, 'y'), Milliseconds(500));
  }
  CHECK(is_held_up);
  CHECK(attached.refused().empty());
  container.Kill(SIGUSR1);
  REQUIRE(attached.TakeUntil("2000000"));
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.ended() == 0u);
}

TEST_CASE_METHOD(IntegrationTest, "What cannot be done for a client is told",
                 "[grpc][streams][error][hydra]") {
  NativeContainer container(this, "c",
                            {"/bin/sh", "-c", "echo ready; exec sleep 1000"});
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Replay(100));
  CHECK_FALSE(attached.started().input());
  REQUIRE(attached.TakeUntil("ready\n"));
  REQUIRE(attached.Write("for nobody"));
  REQUIRE(attached.TakeRefusal());
  CHECK(attached.refused()[0].code() ==
        static_cast<int>(Code::kFailedPrecondition));
  CHECK(attached.refused()[0].input_bytes() == 10);
  CHECK_FALSE(attached.refused()[0].close_input());
  REQUIRE(attached.Resize(10, 10));
  REQUIRE(attached.TakeRefusal());
  CHECK(attached.refused()[1].input_bytes() == 0);
  container.Kill(SIGKILL);
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.ended() == 137u);
}

TEST_CASE_METHOD(IntegrationTest, "Input after its end is refused",
                 "[grpc][streams][error][hydra]") {
  NativeContainer container(this, "c",
                            {"/bin/sh", "-c", "cat; echo end; sleep 1000"});
  container.request().set_input(true);
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Start());
  REQUIRE(attached.Write("last"));
  REQUIRE(attached.CloseInput());
  REQUIRE(attached.Write("too late"));
  REQUIRE(attached.TakeRefusal());
  CHECK(attached.refused()[0].input_bytes() == 8);
  REQUIRE(attached.TakeUntil("lastend\n"));
}

TEST_CASE_METHOD(IntegrationTest, "A restart ends no attachment",
                 "[grpc][streams][hydra]") {
  NativeContainer container(
      this, "c", {"/bin/sh", "-c", "echo run; read -r x; echo got $x; exit 4"});
  container.request().set_input(true);
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Replay(100));
  REQUIRE(attached.TakeUntil("run\n"));
  container.Restart();
  REQUIRE(attached.TakeUntil("run\nrun\n"));
  REQUIRE(attached.Write("it\n"));
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.text() == "run\nrun\ngot it\n");
  CHECK(attached.ended() == 4u);
}

TEST_CASE_METHOD(IntegrationTest, "A policy's restarts end no attachment",
                 "[grpc][streams][hydra]") {
  NativeContainer container(this, "c", {"/bin/sh", "-c", "echo run; exit 3"});
  container.request().set_create_only(true);
  container.request().mutable_restart()->set_name(
      v1::RestartPolicy::ON_FAILURE);
  container.request().mutable_restart()->set_max_retries(2);
  container.Run();
  Attached attached(container.socket());
  REQUIRE(attached.Start());
  (void)container.Call<task_api::StartResponse>(
      kTaskV2, "Start", TaskClient::For<task_api::StartRequest>("c"));
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.text() == "run\nrun\nrun\n");
  CHECK(attached.ended() == 3u);
}

TEST_CASE_METHOD(IntegrationTest, "Attached beside an engine",
                 "[grpc][streams][hydra]") {
  Session session(containerd().CtrCommand(RunArguments(
      "c", {"/bin/sh", "-c",
            "echo before; while read -r x; do echo got $x; done; exit 9"})));
  REQUIRE(session.ReadUntil("before\n"));
  Attached attached(containerd().shim_socket("c"));
  // It had no log before.
  REQUIRE(attached.Replay(1000));
  CHECK(attached.started().input());
  session.Write("engine\n");
  REQUIRE(session.ReadUntil("got engine\n"));
  REQUIRE(attached.TakeUntil("got engine\n"));
  REQUIRE(attached.Write("client\n"));
  REQUIRE(session.ReadUntil("got client\n"));
  REQUIRE(attached.TakeUntil("got client\n"));
  session.CloseInput();
  // The engine removes it at once.
  CHECK(session.Wait() == 9);
  CHECK(attached.TakeAll().code == Code::kOk);
  CHECK(attached.text() == "got engine\ngot client\n");
  CHECK(attached.ended() == 9u);
}

TEST_CASE_METHOD(IntegrationTest, "A client of Attach must make sense",
                 "[grpc][streams][error][hydra]") {
  NativeContainer container(this, "c", {"/bin/sleep", "1000"});
  const auto fails = [&](const std::vector<std::string>& messages, Code code) {
    StreamClient client(container.socket(), kInstance, "Attach");
    for (const std::string& message : messages) (void)client.Write(message);
    while (client.Read().has_value()) {
    }
    REQUIRE(client.at_end());
    const RawReply end = client.Finish();
    CAPTURE(end.message);
    CHECK(end.code == code);
    CHECK_FALSE(end.message.empty());
  };
  v1::AttachRequest start;
  start.mutable_start();
  v1::AttachRequest input;
  input.set_input("x");
  fails({start.SerializeAsString()}, Code::kNotFound);
  container.Run();
  fails({input.SerializeAsString()}, Code::kInvalidArgument);
  fails({""}, Code::kInvalidArgument);
  fails({"\xff\xff garbage"}, Code::kInvalidArgument);
  for (const std::string& second :
       {start.SerializeAsString(), std::string(), std::string("\xff garbage"),
        // A kind of a later version.
        std::string("\xa2\x06\x01x", 4)}) {
    fails({start.SerializeAsString(), second}, Code::kInvalidArgument);
  }
  input.set_input(std::string(5 << 20, 'x'));
  fails({start.SerializeAsString(), input.SerializeAsString()},
        Code::kResourceExhausted);
}

}  // namespace
}  // namespace hydra::testing
