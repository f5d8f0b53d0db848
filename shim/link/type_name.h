// The names of the messages that a head sends, for those who read about them.

#ifndef HYDRA_LINK_TYPE_NAME_H_
#define HYDRA_LINK_TYPE_NAME_H_

#include "shim/link/protocol.h"

namespace hydra::link {

// "other" for one that is not a head's.
constexpr const char* NameOf(Type type) {
  switch (type) {
    case Type::kHello:
      return "hello";
    case Type::kResponse:
      return "response";
    case Type::kParked:
      return "parked";
    case Type::kSpawn:
      return "spawn";
    case Type::kSignal:
      return "signal";
    case Type::kForgetToken:
      return "forget-token";
    case Type::kClaim:
      return "claim";
    case Type::kForgetProcess:
      return "forget-process";
    case Type::kStreamAdd:
      return "stream-add";
    case Type::kStreamClose:
      return "stream-close";
    case Type::kStreamFinish:
      return "stream-finish";
    case Type::kStreamCloseStdin:
      return "stream-close-stdin";
    case Type::kStreamResize:
      return "stream-resize";
    case Type::kStreamStart:
      return "stream-start";
    case Type::kStore:
      return "store";
    case Type::kUnstore:
      return "unstore";
    case Type::kUpgrade:
      return "upgrade";
    case Type::kInspect:
      return "inspect";
    case Type::kCloseListener:
      return "close-listener";
    case Type::kQuit:
      return "quit";
    default:
      return "other";
  }
}

}  // namespace hydra::link

#endif  // HYDRA_LINK_TYPE_NAME_H_
