// The connection to the engine's own ttrpc service, on which events go out:
// one call at a time.
//
// Bytes and frames; which event is sent when, and what is remembered of it, is
// publications.h's. Nothing blocks: connecting to a unix socket ends at once,
// and what its buffer does not take waits for EPOLLOUT. Loop thread only.

#ifndef HYDRA_MONITOR_ENGINE_H_
#define HYDRA_MONITOR_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "shim/monitor/frame.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Engine {
 public:
  // A longer answer is not kept: what Forward answers is empty, or an error.
  static constexpr size_t kMaxAnswer = 64 << 10;

  // How a call has ended.
  struct Answer {
    // 0, or why there is no answer: errno of the socket, ECONNRESET if the
    // engine closed the connection before it had read the whole frame,
    // ECONNABORTED if it did so after that, EPROTO if it does not speak ttrpc
    // (the connection is closed then), EMSGSIZE for an answer over kMaxAnswer.
    int error = 0;
    // There is an error, and the engine may have acted on the call.
    bool ambiguous = false;
    std::string payload;  // Of the response frame.
  };

  explicit Engine(Poller* poller) : poller_(poller) {}
  ~Engine() { Close(); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Begins a call: `request` is the payload of its frame. Goes over the
  // connection that there is, if it is to `address` and its other end is still
  // there, and otherwise over a new one. 0, or an errno: then the engine has
  // not got the request and no answer comes. ENAMETOOLONG if `address` is no
  // socket's path, EMSGSIZE if `request` fits no frame.
  int Call(std::string_view address, std::string_view request);

  // Whether a call waits for its answer.
  bool calling() const { return stream_id_ != 0; }
  // Whether the whole of the last call's frame has gone out.
  bool sent() const { return output_.empty(); }

  // The answer is not waited for any more; one that comes is dropped.
  void Abandon() { stream_id_ = 0; }

  // The connection that has this number is ready. True if that ends the call:
  // *answer says how.
  bool OnEvent(uint64_t id, Answer* answer);

  // Drops the connection, and the call with it.
  void Close();

  // In publications_state.cc.
  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // Waits for the connection again after Load. 0 or an errno; then it is to be
  // closed.
  int Resume();

 private:
  int Connect(std::string_view address);
  bool PeerIsThere() const;
  int Flush();
  int Read(Answer* answer, bool* answered);
  int TakeFrame(Frame frame, Answer* answer, bool* answered);
  void UpdateInterest();

  Poller* poller_;
  UniqueFd fd_;
  uint64_t id_ = 0;  // Counts the connections.
  uint32_t interest_ = 0;
  std::string address_;
  FrameReader frames_;
  std::string output_;  // Not sent yet.
  uint32_t next_stream_id_ = 1;
  uint32_t stream_id_ = 0;  // Of the call in progress, or 0.
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_ENGINE_H_
