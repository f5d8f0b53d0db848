// One accepted engine connection that speaks ttrpc, or has not said yet.
//
// Bytes in and out, and the bounds; what a frame means is server.h's. Loop
// thread only.

#ifndef HYDRA_MONITOR_CONNECTION_H_
#define HYDRA_MONITOR_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "shim/monitor/frame.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Connection {
 public:
  // Past any of these no more is read, until answers have gone out.
  static constexpr size_t kMaxUnanswered = 4096;
  static constexpr size_t kMaxUnansweredBytes = 16 << 20;
  static constexpr size_t kMaxUnsentBytes = 8 << 20;
  // Answers to what has been read already may go beyond that, but a client
  // that lets it come to this is given up.
  static constexpr size_t kGiveUpUnsentBytes = 64 << 20;

  enum class Protocol : uint8_t { kUnknown, kTtrpc, kGrpc };

  // Takes `fd`, which is non-blocking. `id` is never used again.
  Connection(Poller* poller, uint64_t id, UniqueFd fd)
      : poller_(poller), id_(id), fd_(std::move(fd)) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Registers it with the poller. 0 or an errno. With kTtrpc nothing is left
  // to detect.
  int Open(Protocol protocol = Protocol::kUnknown);

  // `unanswered` and `unanswered_bytes` are left to server.cc.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // Registers it after Load. 0 or an errno.
  int Resume();

  // Looks at the first bytes without taking them: HTTP/2's preface begins with
  // "PRI ", which as a ttrpc length would be 1.3 GB. False if the peer is
  // gone. protocol() stays kUnknown until enough has come.
  bool Detect();
  Protocol protocol() const { return protocol_; }

  // Reads up to `size` bytes into `buffer`. The count; 0 if there is nothing
  // now; -1 if the connection is broken. At end_of_input the client will say
  // no more, but may still wait for answers.
  ssize_t Read(char* buffer, size_t size);
  bool end_of_input() const { return end_of_input_; }
  bool wants_input() const;

  // Queues a frame and writes what the socket takes. False if the connection
  // is broken, or its client does not read.
  bool Send(uint32_t stream_id, std::string_view payload);
  bool Flush();
  bool sent_all() const { return output_.size() == output_sent_; }

  // Asks the poller for what is wanted now.
  void UpdateInterest();

  // Gives the descriptor away, for kGrpc.
  UniqueFd Release();

  uint64_t id() const { return id_; }

  // Kept by server.cc.
  FrameReader frames;
  uint32_t last_stream_id = 0;
  size_t unanswered = 0;
  size_t unanswered_bytes = 0;

 private:
  EventTag tag() const { return {EventKind::kConnection, id_}; }
  uint32_t WantedEvents() const;

  Poller* poller_;
  uint64_t id_;
  UniqueFd fd_;
  Protocol protocol_ = Protocol::kUnknown;
  bool end_of_input_ = false;
  uint32_t interest_ = 0;
  std::string output_;
  size_t output_sent_ = 0;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_CONNECTION_H_
