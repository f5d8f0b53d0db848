// What comes out of a pod's containers, and goes in: exec, attach and logs.

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "test/engines/cri/cri_test.h"
#include "test/engines/cri/websocket.h"
#include "test/integration/harness/files.h"

namespace hydra::testing {
namespace {

namespace fs = std::filesystem;

using Stub = cri::RuntimeService::Stub;

class StreamTest : public CriTest {
 public:
  std::string ExecUrl(const std::string& id, const Arguments& command,
                      bool terminal) {
    cri::ExecRequest request;
    request.set_container_id(id);
    for (const std::string& word : command) request.add_cmd(word);
    request.set_tty(terminal);
    request.set_stdin(true);
    request.set_stdout(true);
    request.set_stderr(!terminal);
    return Must(&Stub::Exec, request).url();
  }
  std::string AttachUrl(const std::string& id) {
    cri::AttachRequest request;
    request.set_container_id(id);
    request.set_stdin(true);
    request.set_stdout(true);
    request.set_stderr(true);
    return Must(&Stub::Attach, request).url();
  }
};

TEST_CASE_METHOD(StreamTest, "ExecSync has output and status", "[cri]") {
  const std::string id = RunContainer(RunPod(), {});
  const auto result =
      ExecSync(id, {"/bin/sh", "-c", "echo out; echo err >&2; exit 12"});
  CHECK(result.exit_code() == 12);
  CHECK(result.stdout() == "out\n");
  CHECK(result.stderr() == "err\n");
  CHECK(ExecSync(id, {"/bin/sh", "-c", "kill -9 $$"}).exit_code() == 137);

  cri::ExecSyncRequest request;
  cri::ExecSyncResponse response;
  request.set_container_id(id);
  request.add_cmd("/no/such");
  CHECK_FALSE(Try(&Stub::ExecSync, request, &response).ok());
}

TEST_CASE_METHOD(StreamTest, "ExecSync ends what takes too long", "[cri]") {
  const std::string id = RunContainer(RunPod(), {});
  cri::ExecSyncRequest request;
  cri::ExecSyncResponse response;
  request.set_container_id(id);
  for (const char* word : {"/bin/sleep", "1234"}) request.add_cmd(word);
  request.set_timeout(1);
  const grpc::Status status = Try(&Stub::ExecSync, request, &response);
  CHECK_FALSE(status.ok());
  CHECK(Eventually([&] {
    return ExecSync(id, {"/bin/ps"}).stdout().find("sleep 1234") ==
           std::string::npos;
  }));
}

TEST_CASE_METHOD(StreamTest, "A streaming exec talks both ways", "[cri]") {
  const std::string id = RunContainer(RunPod(), {});
  WebSocket stream(ExecUrl(
      id, {"/bin/sh", "-c", "read x; echo out-$x; echo err-$x >&2; exit 5"},
      false));
  CAPTURE(stream.refusal());
  REQUIRE(stream.open());
  stream.Write("word\n");
  CHECK(stream.ReadToEnd());
  CHECK(stream.out() == "out-word\n");
  CHECK(stream.err() == "err-word\n");
  CAPTURE(stream.status());
  CHECK(stream.status().find("\"ExitCode\"") != std::string::npos);
  CHECK(stream.status().find("\"5\"") != std::string::npos);
}

TEST_CASE_METHOD(StreamTest, "A streaming exec has a terminal", "[cri]") {
  const std::string id = RunContainer(RunPod(), {});
  WebSocket stream(ExecUrl(id, {"/bin/sh"}, true));
  CAPTURE(stream.refusal());
  REQUIRE(stream.open());
  stream.Resize(132, 50);
  stream.Write(
      "until test \"$(stty size)\" = '50 132'; do sleep 0.05; done; "
      "test -t 0 && echo is-a-$((40 + 2))-tty\n");
  CHECK(stream.ReadUntil("is-a-42-tty"));
  stream.Write("exit 6\n");
  CHECK(stream.ReadToEnd());
  CHECK(stream.status().find("\"6\"") != std::string::npos);
}

TEST_CASE_METHOD(StreamTest, "A container is attached to, and again", "[cri]") {
  const std::string id = RunContainer(
      RunPod(),
      {.command = {"/bin/sh", "-c", "while read x; do echo got-$x; done"},
       .stdin = true});
  for (const char* word : {"one", "two"}) {
    CAPTURE(word);
    WebSocket stream(AttachUrl(id));
    CAPTURE(stream.refusal());
    REQUIRE(stream.open());
    stream.Write(std::string(word) + "\n");
    CHECK(stream.ReadUntil(std::string("got-") + word));
  }
  CHECK(Eventually(
      [&] { return Log("c").find("stdout F got-two") != std::string::npos; }));
}

TEST_CASE_METHOD(StreamTest, "Logs are in CRI's format, and whole", "[cri]") {
  constexpr size_t kLines = 20'000;
  // containerd splits lines at 16 KiB. The container stays until all is there:
  // at its end, containerd 1.6 reads no more.
  const std::string id = RunContainer(
      RunPod(),
      {.command = {"/bin/sh", "-c",
                   "/payload/numbered-lines " + std::to_string(16 * kLines) +
                       "; echo err >&2; printf '%020000d\\n' 7; "
                       "exec sleep 1000"}});
  REQUIRE(Eventually([&] { return Lines(Log("c")).size() >= kLines + 3; }));
  size_t next = 0;
  bool in_order = true;
  std::vector<std::string> others;
  for (const std::string& line : Lines(Log("c"))) {
    const std::vector<std::string> words = Words(line);
    REQUIRE(words.size() == 4);
    if (words[1] == "stdout" && words[2] == "F" && words[3].size() == 15) {
      in_order &= std::stoull(words[3]) == next++;
    } else {
      others.push_back(words[1] + " " + words[2] + " " +
                       std::to_string(words[3].size()));
    }
  }
  CHECK(in_order);
  CHECK(next == kLines);
  std::sort(others.begin(), others.end());
  CHECK(others == std::vector<std::string>{"stderr F 3", "stdout F 3616",
                                           "stdout P 16384"});
}

TEST_CASE_METHOD(StreamTest,
                 "Nothing that is logged while containerd is down "
                 "is lost, or waits",
                 "[cri][engine]") {
  constexpr size_t kLines = 100'000;
  const std::string share = containerd().directory() + "/share";
  fs::create_directory(share);
  const std::string id = RunContainer(
      RunPod(),
      {.command = {"/bin/sh", "-c",
                   "echo ready; until test -e /share/go; do sleep 0.05; done; "
                   "/payload/numbered-lines " +
                       std::to_string(16 * kLines) +
                       "; echo done >/share/written; exec sleep 1000"},
       .share = share});
  REQUIRE(
      Eventually([&] { return Log("c").find("ready") != std::string::npos; }));
  containerd().Kill();
  REQUIRE(WriteFile(share + "/go", ""));
  // All is written while nobody reads: more than any pipe holds, so that
  // containerd's own shim never gets there.
  CHECK(Eventually([&] { return fs::exists(share + "/written"); },
                   Milliseconds(is_hydra() ? 20'000 : 5'000)));
  StartEngine();
  CHECK(Eventually([&] { return Lines(Log("c")).size() >= kLines + 1; }));
  size_t next = 0;
  bool in_order = true;
  for (const std::string& line : Lines(Log("c"))) {
    const std::string text = Words(line).back();
    if (text != "ready") in_order &= std::stoull(text) == next++;
  }
  CHECK(in_order);
  CHECK(next == kLines);
  CHECK(ContainerStatus(id).state() == cri::CONTAINER_RUNNING);
}

}  // namespace
}  // namespace hydra::testing
