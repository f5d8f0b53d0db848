// What a shim answers to requests that make no sense. The connection and the
// container outlive every one of them.

#include <unistd.h>

#include <catch2/catch.hpp>

#include "test/integration/harness/bare_shim.h"
#include "test/integration/harness/files.h"
#include "test/integration/harness/fixture.h"

namespace hydra::testing {
namespace {

constexpr uint8_t kRequest = 1;
constexpr uint8_t kData = 3;
constexpr uint8_t kUnknownType = 77;

// A container, and a client on its shim.
class BadInputTest : public IntegrationTest {
 public:
  BadInputTest() {
    StartDetached("c", {"/bin/sleep", "1000"});
    client = Shim("c");
  }

  // The same connection still works, the engine's does, the container runs.
  void CheckUnharmed() {
    TaskClient task(client.get());
    const auto state = task.State("c");
    CAPTURE(state.message);
    CHECK(state.code == Code::kOk);
    CHECK(state.value.status() == containerd::v1::types::RUNNING);
    CHECK(Exec("c", "alive", {"/bin/true"}).status == 0);
  }

  std::unique_ptr<TtrpcClient> client;
};

TEST_CASE_METHOD(BadInputTest, "Unknown services and methods are Unimplemented",
                 "[bad-input]") {
  const RawReply service = client->Call("no.such.Service", "State", "");
  CHECK(service.code == Code::kUnimplemented);
  CHECK(service.message == "service no.such.Service");
  const RawReply method = client->Call(kTaskV2, "NoSuchMethod", "");
  CHECK(method.code == Code::kUnimplemented);
  CHECK(method.message == "method NoSuchMethod");
  const RawReply empty = client->Call("", "", "");
  CHECK(empty.code == Code::kUnimplemented);
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "An even stream id is InvalidArgument",
                 "[bad-input]") {
  client->SendFrame(2, kRequest, client->EncodeRequest(kTaskV2, "State", ""));
  const RawReply reply = client->Await(2);
  CHECK(reply.code == Code::kInvalidArgument);
  CHECK(reply.message == "StreamID must be odd for client initiated streams");
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "A stream id that was used is InvalidArgument",
                 "[bad-input][hydra]") {
  const std::string request = client->EncodeRequest(
      kTaskV2, "State",
      TaskClient::For<task_api::StateRequest>("c").SerializeAsString());
  const uint32_t stream = client->TakeStreamId();
  const uint32_t later = client->TakeStreamId();
  client->SendFrame(later, kRequest, request);
  CHECK(client->Await(later).code == Code::kOk);
  for (const uint32_t reused : {later, stream}) {
    CAPTURE(reused);
    client->SendFrame(reused, kRequest, request);
    const RawReply reply = client->Await(reused);
    CHECK(reply.code == Code::kInvalidArgument);
    CHECK(reply.message == "StreamID cannot be re-used and must increment");
  }
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "A frame of 4 MiB is read, one byte more is not",
                 "[bad-input]") {
  const std::string most(kMaxFrameData, 'x');
  const uint32_t first = client->TakeStreamId();
  client->SendFrame(first, kRequest, most);
  const Code read = client->Await(first).code;
  CHECK((read == Code::kInvalidArgument || read == Code::kUnimplemented));
  const uint32_t second = client->TakeStreamId();
  client->SendFrame(second, kRequest, most + "x");
  const RawReply reply = client->Await(second);
  CAPTURE(reply.message);
  CHECK(reply.code == Code::kResourceExhausted);
  CHECK(reply.message ==
        "message length 4194305 exceed maximum message size of 4194304");
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "A length that lies ends that connection only",
                 "[bad-input]") {
  auto other = Shim("c");
  // Reads as 1.9 GB; nothing follows.
  other->SendFrame(0x70000000, 1, kRequest, 0, "short");
  other.reset();
  auto half = Shim("c");
  half->SendBytes(std::string("\0\0\0", 3));
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "A request that does not parse is refused",
                 "[bad-input]") {
  const uint32_t stream = client->TakeStreamId();
  client->SendFrame(stream, kRequest, std::string("\xff\xff\xff\x07", 4));
  const RawReply reply = client->Await(stream);
  CHECK(reply.code == Code::kInvalidArgument);
  CHECK(reply.message.rfind("unmarshal request error: ", 0) == 0);
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "A payload that does not parse is refused",
                 "[bad-input]") {
  for (const char* method : {"State", "Create", "Kill", "Wait", "Exec"}) {
    CAPTURE(method);
    const RawReply reply =
        client->Call(kTaskV2, method, std::string("\xff\xff\xff\x07", 4));
    CAPTURE(reply.message);
    CHECK((reply.code == Code::kInternal ||
           reply.code == Code::kInvalidArgument));
  }
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "Frames of unknown types are ignored",
                 "[bad-input]") {
  client->SendFrame(client->TakeStreamId(), kUnknownType, "what is this");
  client->SendFrame(client->TakeStreamId(), kData, "");
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "Garbage on a new connection harms nobody",
                 "[bad-input]") {
  const std::string texts[] = {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n",
                               std::string(100, '\0'),
                               std::string(100, '\xff')};
  for (const std::string& text : texts) {
    auto other = Shim("c");
    other->SendBytes(text);
  }
  for (int i = 0; i < 100; ++i) (void)Shim("c");
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "Unknown ids are NotFound", "[bad-input]") {
  TaskClient task(client.get());
  CHECK(task.State("nobody").code == Code::kNotFound);
  CHECK(task.State("c", "no-exec").code == Code::kNotFound);
  CHECK(task.Start("nobody").code == Code::kNotFound);
  CHECK(task.Wait("nobody").code == Code::kNotFound);
  CHECK(task.Wait("c", "no-exec").code == Code::kNotFound);
  CHECK(task.Delete("nobody").code == Code::kNotFound);
  CHECK(task.Pids("nobody").code == Code::kNotFound);
  CHECK(task.Kill("nobody", 9).code == Code::kNotFound);
  CHECK(task.Kill("c", 9, "no-exec").code == Code::kNotFound);
  // Connect is never NotFound.
  const auto connect = task.Connect("nobody");
  CHECK(connect.ok());
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "Names that are paths reach no file",
                 "[bad-input][hydra]") {
  TaskClient task(client.get());
  for (const char* name :
       {"../../c", "a/b", "..", ".", "", "a\nb", "/etc/passwd"}) {
    CAPTURE(name);
    const RawReply exec = task.Exec("c", name, "true");
    CAPTURE(exec.message);
    CHECK(exec.code == Code::kInvalidArgument);
    task_api::CreateTaskRequest create;
    create.set_id(name);
    create.set_bundle(containerd().bundle("c"));
    const RawReply created = task.Do("Create", create);
    CAPTURE(created.message);
    CHECK(created.code != Code::kOk);
    CHECK(created.code != Code::kNoAnswer);
  }
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "An exec's spec that is no JSON is refused",
                 "[bad-input]") {
  const std::string deep = "{\"args\": " + std::string(200'000, '[') +
                           std::string(200'000, ']') + "}";
  for (const std::string& spec :
       {std::string(), std::string("{"), std::string("[]"),
        std::string("\"text\""), std::string("{\"args\": 7}"), deep}) {
    CAPTURE(spec.substr(0, 40));
    TaskClient task(client.get());
    auto request = TaskClient::For<task_api::ExecProcessRequest>("c", "bad");
    request.mutable_spec()->set_type_url("some.type");
    request.mutable_spec()->set_value(spec);
    const RawReply reply = task.Do("Exec", request);
    CAPTURE(reply.message);
    CHECK(reply.code != Code::kNoAnswer);
    // What Exec lets through, Start must refuse.
    if (reply.code == Code::kOk) {
      CHECK_FALSE(task.Start("c", "bad").ok());
      CHECK(task.Delete("c", "bad").ok());
    }
  }
  CheckUnharmed();
}

TEST_CASE_METHOD(BadInputTest, "Wrong option and resource types are refused",
                 "[bad-input][hydra]") {
  TaskClient task(client.get());
  task_api::UpdateTaskRequest update;
  update.set_id("c");
  update.mutable_resources()->set_type_url("some.type");
  update.mutable_resources()->set_value("no json");
  CHECK(task.Do("Update", update).code != Code::kOk);
  task_api::CheckpointTaskRequest checkpoint;
  checkpoint.set_id("c");
  checkpoint.mutable_options()->set_type_url("some.type");
  checkpoint.mutable_options()->set_value("\xff");
  CHECK(task.Do("Checkpoint", checkpoint).code != Code::kOk);
  task_api::CreateTaskRequest create;
  create.set_id("c");
  create.set_bundle(containerd().bundle("c"));
  CHECK(task.Do("Create", create).code == Code::kAlreadyExists);
  create.set_id("another");
  create.mutable_options()->set_type_url("some.type");
  create.mutable_options()->set_value("\xff");
  CHECK(task.Do("Create", create).code != Code::kOk);
  CheckUnharmed();
}

TEST_CASE_METHOD(IntegrationTest, "A bundle without a sound config.json fails",
                 "[bad-input][bare][hydra]") {
  const struct {
    const char* id;
    const char* content;
  } cases[] = {{"missing", nullptr},
               {"empty", ""},
               {"cut", "{\"process\": {\"args\": ["},
               {"array", "[1, 2]"},
               {"types", "{\"process\": 7, \"linux\": \"x\"}"}};
  for (const auto& [id, content] : cases) {
    CAPTURE(id);
    BareShim shim(&containerd(), runtime(), id, {"/bin/true"});
    const std::string config = shim.bundle() + "/config.json";
    if (content == nullptr) {
      REQUIRE(unlink(config.c_str()) == 0);
    } else {
      REQUIRE(WriteFile(config, content));
    }
    const Result started = shim.Start();
    CAPTURE(started.err, started.out);
    if (started.status != 0) {
      CHECK((started.err + started.out).find("config.json") !=
            std::string::npos);
      continue;
    }
    auto client = shim.Connect();
    TaskClient task(client.get());
    const auto created =
        task.Call<task_api::CreateTaskResponse>("Create", shim.CreateRequest());
    CAPTURE(created.message);
    CHECK(created.code != Code::kOk);
    CHECK(created.code != Code::kNoAnswer);
    CHECK(task.State(id).code == Code::kNotFound);
    (void)task.Shutdown(id);  // The shim may exit before it answers.
  }
}

}  // namespace
}  // namespace hydra::testing
