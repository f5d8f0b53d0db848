// A client of hydra.v1.Instance/Attach, that remembers what it was told.
//
// One thread per object; nothing asserts.

#ifndef HYDRA_TEST_INTEGRATION_HARNESS_ATTACHED_H_
#define HYDRA_TEST_INTEGRATION_HARNESS_ATTACHED_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hydra/v1/log.pb.h"
#include "test/integration/harness/stream_client.h"

namespace hydra::testing {

class Attached final {
 public:
  explicit Attached(const std::string& socket_path);

  // Sends `start` and waits for `started`.
  bool Start(const v1::AttachStart& start = {});
  bool Replay(uint64_t bytes);
  bool Write(const std::string& input, Milliseconds limit = kPatience);
  bool CloseInput();
  bool Resize(uint32_t rows, uint32_t columns);

  // Takes one message; false at the limit, or at the end.
  bool Take(Milliseconds limit = kPatience);
  bool TakeUntil(const std::string& text);
  bool TakeRefusal();
  // To the end; how it ended.
  RawReply TakeAll();

  StreamClient& client() { return client_; }
  const v1::AttachStarted& started() const { return started_; }
  const std::string& text() const { return text_; }
  // The last entry of the log that came.
  const v1::LogEntry& last() const { return last_; }
  std::optional<uint32_t> ended() const { return ended_; }
  const std::vector<v1::AttachRefused>& refused() const { return refused_; }
  // No message came that should not have come then.
  bool is_orderly() const { return is_orderly_; }

 private:
  StreamClient client_;
  bool is_started_ = false;
  bool is_orderly_ = true;
  v1::AttachStarted started_;
  std::string text_;
  v1::LogEntry last_;
  std::optional<uint32_t> ended_;
  std::vector<v1::AttachRefused> refused_;
};

}  // namespace hydra::testing

#endif  // HYDRA_TEST_INTEGRATION_HARNESS_ATTACHED_H_
