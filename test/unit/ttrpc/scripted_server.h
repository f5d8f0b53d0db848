// A ttrpc server that does what a test says: answers, errors, rubbish, silence.
//
// On the test's own loop, one connection at a time.

#ifndef HYDRA_TEST_UNIT_TTRPC_SCRIPTED_SERVER_H_
#define HYDRA_TEST_UNIT_TTRPC_SCRIPTED_SERVER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "shim/base/unique_fd.h"
#include "shim/event/event_loop.h"
#include "ttrpc/ttrpc.pb.h"

namespace hydra {

class ScriptedServer final {
 public:
  struct Call {
    uint32_t stream_id;
    ::ttrpc::Request request;
  };

  // Listens at `path`; `on_call` is called for each request frame.
  ScriptedServer(EventLoop* loop, std::string path,
                 std::function<void(const Call&)> on_call);
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer();

  void Answer(uint32_t stream_id, std::string_view payload);
  void AnswerError(uint32_t stream_id, absl::StatusCode code,
                   std::string_view message);
  void SendRaw(std::string_view bytes);
  void CloseConnection();
  // How many have been accepted.
  int connections() const { return connections_; }
  // The streams of kCancel.
  const std::vector<uint32_t>& cancelled() const { return cancelled_; }

 private:
  void OnConnection();
  void OnInput();

  EventLoop* const loop_;
  const std::string path_;
  const std::function<void(const Call&)> on_call_;
  UniqueFd listener_;
  UniqueFd connection_;
  EventLoop::Registration listening_;
  EventLoop::Registration reading_;
  std::string input_;
  int connections_ = 0;
  std::vector<uint32_t> cancelled_;
};

}  // namespace hydra

#endif  // HYDRA_TEST_UNIT_TTRPC_SCRIPTED_SERVER_H_
