// Reads an instance's log, one answer after the other, for a stream.
//
// Loop thread only.

#ifndef HYDRA_GRPC_LOG_CURSOR_H_
#define HYDRA_GRPC_LOG_CURSOR_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "hydra/v1/log.pb.h"
#include "shim/event/async.h"
#include "shim/event/event_loop.h"
#include "shim/grpc/instance_streams.h"

namespace hydra {

class LogCursor final {
 public:
  LogCursor(InstanceAccess instance, v1::LogStart start);
  LogCursor(const LogCursor&) = delete;
  LogCursor& operator=(const LogCursor&) = delete;

  // What comes next, and no more than 128 KiB of it. Without `wait` it may be
  // nothing. Cancelled when `stop` is set. NotFound: there is no container,
  // or none any more. One call at a time.
  Async<absl::StatusOr<v1::ReadLogResponse>> Next(bool wait, Future<bool> stop);

  // The position of the end of the log now. Errors as Next().
  Async<absl::StatusOr<uint64_t>> FindEnd(Future<bool> stop);

 private:
  // A log that was begun for a client ends a minute after the last question;
  // one whose client takes its time is asked for now and then.
  void KeepLog();

  const InstanceAccess instance_;
  v1::LogStart start_;  // Of the next answer.
  bool has_begun_ = false;
  bool is_asking_ = false;
  EventLoop::Registration keep_;
};

}  // namespace hydra

#endif  // HYDRA_GRPC_LOG_CURSOR_H_
