// The engine's side: the listening socket, its connections, and the requests
// that have not been answered.
//
// Loop thread only. Every frame gets a token that never repeats and is kept,
// with its payload, until its response comes from the head; so a new head can
// be given all of them again.

#ifndef HYDRA_MONITOR_SERVER_H_
#define HYDRA_MONITOR_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "shim/base/unique_fd.h"
#include "shim/link/protocol.h"
#include "shim/monitor/clock.h"
#include "shim/monitor/connection.h"
#include "shim/monitor/head_process.h"
#include "shim/monitor/poller.h"
#include "shim/monitor/state.h"

namespace hydra::monitor {

class Server {
 public:
  // `socket_path` is what `listener` is bound to. All must outlive this.
  Server(Poller* poller, HeadProcess* head, UniqueFd listener,
         const char* socket_path)
      : poller_(poller),
        head_(head),
        listener_(std::move(listener)),
        socket_path_(socket_path) {}

  // 0, or errno of what stands in the way of serving.
  int Open();

  void Save(StateWriter* state) const;
  void Load(StateReader* state);
  // Serves again after Load. A connection that cannot be watched is closed.
  void ResumeAll();

  void OnListenReadable();
  // Returns the connection, with nothing taken from it, if it has turned out to
  // be gRPC's, and else nothing.
  UniqueFd OnConnection(uint64_t id, uint32_t events);

  // A connection that is not accepted, of a client that speaks ttrpc. Its
  // number; 0 if it cannot be watched, and is closed.
  uint64_t AddTtrpc(UniqueFd fd);
  // Of a number that is not known it does nothing.
  void CloseConnection(uint64_t id);

  // Sends requests to the head, in order, as far as it takes them, and whatever
  // else waits for it. To be called once per turn of the loop. False if the
  // link is broken.
  bool FeedHead();

  // A new head knows of no request.
  void OnNewHead() { next_to_send_ = 0; }
  // Has kSynced sent, once the requests that there are have been.
  void SyncWhenSent() { sync_due_ = true; }
  // The head has died. If it crashed, the requests that it worked on count it:
  // those that it had been sent and had not parked.
  void OnHeadDied(bool crashed);

  // kParked: the head that has the request only waits with it.
  void Park(uint64_t token);

  // kResponse: the request of `token`, if it is known, is answered.
  void Respond(uint64_t token, std::string_view payload);

  // Closes the listening socket and unlinks its path. May be called again.
  void CloseListener();

  // When to listen again after running out of descriptors; kNever if it does.
  int64_t resume_at() const { return resume_at_; }
  void Resume();

  // Whether there is a request that does not just wait.
  bool has_work() const;

  // Whether all answers have gone out.
  bool sent_all() const;

  size_t connections() const { return connections_.size(); }
  size_t requests() const { return requests_.size(); }

 private:
  struct PendingRequest {
    link::Request body = {};
    std::string payload;
    // HeadProcess::bytes_promised() with the request; 0 if it was not sent.
    uint64_t sent_at = 0;
    bool parked = false;  // Since it was sent.
  };

  bool AcceptOne();
  void ShedConnection();
  void PauseListening(int error);
  // Reads what has come. False if the connection is to be closed.
  bool ReadFrames(Connection* connection);
  void AddRequest(Connection* connection, Frame frame);
  // kCancel: nobody waits for the request of this stream any more.
  void CancelRequest(Connection* connection, uint32_t stream_id);
  UniqueFd ReleaseGrpc(Connection* connection);
  // Forgets its requests. After the last one a head that rests is woken.
  void Close(Connection* connection);
  // Closes it if nothing more can come of it.
  void CloseIfDone(Connection* connection);
  void SendRequest(uint64_t token, PendingRequest* request);
  void LoadRequest(StateReader* state);

  Poller* poller_;
  HeadProcess* head_;
  UniqueFd listener_;
  const char* socket_path_;
  // Given up for a moment when there is no other descriptor left, to accept a
  // connection and close it: it would wake the loop for ever otherwise.
  UniqueFd spare_;
  int64_t resume_at_ = kNever;

  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  uint64_t next_connection_ = 1;
  std::map<uint64_t, PendingRequest> requests_;  // By token.
  uint64_t next_token_ = 1;
  uint64_t next_to_send_ = 0;  // Requests below it are with this head.
  bool sync_due_ = false;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_SERVER_H_
