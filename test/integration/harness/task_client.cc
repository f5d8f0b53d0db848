#include "test/integration/harness/task_client.h"

#include <nlohmann/json.hpp>

#include "test/integration/harness/engine.h"

namespace hydra::testing {

std::string TaskService() {
  return TestEngine().major() < 2 ? kTaskV2 : kTaskV3;
}

RawReply TaskClient::Exec(const std::string& id, const std::string& exec_id,
                          const std::string& command, bool terminal,
                          const std::string& output) {
  const nlohmann::json process = {
      {"terminal", terminal},
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"args", {"/bin/sh", "-c", command}},
      {"env", {"PATH=/bin"}},
      {"cwd", "/"},
  };
  auto request = For<task_api::ExecProcessRequest>(id, exec_id);
  request.set_terminal(terminal);
  request.set_stdout(output);
  request.mutable_spec()->set_type_url(
      "types.containerd.io/opencontainers/runtime-spec/1/Process");
  request.mutable_spec()->set_value(process.dump());
  return Do("Exec", request);
}

uint32_t SendWait(TtrpcClient* client, const std::string& id,
                  const std::string& exec_id) {
  return client->Send(
      TaskService(), "Wait",
      TaskClient::For<task_api::WaitRequest>(id, exec_id).SerializeAsString());
}

}  // namespace hydra::testing
