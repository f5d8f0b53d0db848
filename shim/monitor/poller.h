// epoll(7), with a name for each watched descriptor instead of a pointer: an
// event that arrives after its object has gone names nothing, and is dropped.
//
// A descriptor must be removed before it is closed. The open file may live on
// in another process, and would then go on reporting events that nobody can
// remove any more (epoll(7), question 6).

#ifndef HYDRA_MONITOR_POLLER_H_
#define HYDRA_MONITOR_POLLER_H_

#include <sys/epoll.h>

#include <cstdint>

#include "shim/base/unique_fd.h"

namespace hydra::monitor {

enum class EventKind : uint8_t {
  kSignal,
  kListener,
  kLink,
  kConnection,    // id: of the connection.
  kStreamOutput,  // id of these: the serial number of the stream.
  kStreamInput,
  kConsoleSetup,  // The console socket, or the connection made to it.
  kConsoleMaster,
  kWake,    // What a resting head waits for.
  kEngine,  // id: of the connection to the engine.
  kGrpc,    // The link to hydra-grpc.
};

struct EventTag {
  EventKind kind;
  uint64_t id = 0;  // Below 2^56.

  uint64_t Pack() const {
    return uint64_t{static_cast<uint8_t>(kind)} << 56 | id;
  }
  static EventTag Unpack(uint64_t packed) {
    return {static_cast<EventKind>(packed >> 56),
            packed & ((uint64_t{1} << 56) - 1)};
  }
};

class Poller {
 public:
  // 0, or errno of epoll_create1(2).
  int Open();

  // 0, or errno of epoll_ctl(2): EPERM for a descriptor that is always ready,
  // such as a regular file.
  int Add(int fd, uint32_t events, EventTag tag);
  int Modify(int fd, uint32_t events, EventTag tag);
  void Remove(int fd);

  // The count of events, 0 after `timeout_ms` (-1: none) or a signal.
  int Wait(epoll_event* events, int capacity, int timeout_ms);

 private:
  UniqueFd fd_;
};

}  // namespace hydra::monitor

#endif  // HYDRA_MONITOR_POLLER_H_
