// What a head says, and what is done of it.

#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

#include "shim/link/protocol.h"
#include "shim/monitor/log.h"
#include "shim/monitor/monitor.h"

namespace hydra::monitor {

namespace {

using link::Message;
using link::Type;

constexpr int64_t kQuitPatience = kSecond;

}  // namespace

void Monitor::OnMessage(Message message) {
  if (message.type() == Type::kHello) {
    OnHello(message);
    return;
  }
  link::Writer* head = head_.output();
  if (head == nullptr) {
    head_.KillMisbehaved("it spoke before kHello");
    return;
  }
  switch (message.type()) {
    case Type::kResponse:
      Forget(message.header.token);
      server_.Respond(message.header.token, message.tail());
      break;
    case Type::kParked:
      server_.Park(message.header.token);
      break;
    case Type::kSpawn:
      operations_.Spawn(std::move(message), head);
      break;
    case Type::kSignal:
      operations_.Signal(message, head);
      break;
    case Type::kPublish:
      publications_.Publish(message);
      break;
    case Type::kUpgrade:
      OnUpgrade(message, head);
      break;
    case Type::kInspect:
      OnInspect(message, head);
      break;
    case Type::kForgetToken:
      Forget(message.header.token);
      break;
    case Type::kClaim:
      processes_.Claim(message.Body<link::Claim>(), head);
      break;
    case Type::kForgetProcess:
      processes_.Forget(message.Body<link::Process>().process);
      break;
    case Type::kStore:
      StoreFds(std::move(message));
      break;
    case Type::kUnstore:
      store_.erase(message.header.token);
      break;
    case Type::kCloseListener:
      server_.CloseListener();
      head->Add(Type::kListenerClosed);
      break;
    case Type::kIdle:
      OnIdle(std::move(message));
      break;
    case Type::kQuit:
      server_.CloseListener();
      quit_at_ = MonotonicNow() + kQuitPatience;
      break;
    default:
      OnStreamMessage(std::move(message));
      break;
  }
}

void Monitor::OnStreamMessage(Message message) {
  const uint64_t stream = message.Body<link::StreamRef>().stream;
  switch (message.type()) {
    case Type::kStreamAdd:
      streams_.Add(std::move(message));
      break;
    case Type::kStreamClose:
      streams_.Close(stream);
      break;
    case Type::kStreamStart:
      streams_.StartHeld(stream);
      break;
    case Type::kStreamFinish:
      streams_.Finish(stream);
      break;
    case Type::kStreamCloseStdin:
      streams_.CloseStdin(stream);
      break;
    case Type::kStreamsAsk:
      streams_.Replay(head_.output());
      head_.output()->Add(Type::kStreamsTold);
      break;
    case Type::kStreamResize:
      streams_.Resize(message.Body<link::StreamResize>());
      break;
    case Type::kStreamJournal:
      streams_.SetJournal(message.Body<link::StreamJournal>());
      break;
    case Type::kStreamWrite:
      OnStreamWrite(message);
      break;
    case Type::kJournalOpen:
      journals_.Open(message);
      break;
    case Type::kJournalClose: {
      const uint64_t journal = message.Body<link::JournalRef>().journal;
      streams_.ForgetJournal(journal);
      journals_.Close(journal);
      break;
    }
    default:
      // Of a later release, which knows that we may ignore it.
      LogWarning("message of unknown type %u ignored", message.header.type);
      break;
  }
}

void Monitor::OnStreamWrite(const Message& message) {
  link::Writer* head = head_.output();
  if (!operations_.Begin(message, link::OperationKind::kWrite, head)) return;
  const uint64_t stream = message.Body<link::StreamRef>().stream;
  operations_.Finish(message.header.token, message.header.step,
                     streams_.Write(stream, message.tail()), 0, {}, head);
}

void Monitor::OnHello(const Message& message) {
  const auto hello = message.Body<link::Hello>();
  if (head_.state() != HeadState::kUnknown || hello.version == 0) {
    head_.KillMisbehaved("its kHello makes no sense");
    return;
  }
  // It serves; and what follows will tell it how the upgrade went.
  if (upgrade_ != nullptr && upgrade_->phase() == Upgrade::Phase::kProbation) {
    FinishUpgrade();
  }
  head_.SetReady();
  server_.OnNewHead();
  link::Writer* head = head_.output();
  link::Welcome welcome = {};
  welcome.version = link::kLinkVersion;
  welcome.monitor_pid = getpid();
  welcome.generation = head_.generation();
  welcome.previous_died_at = head_.died_at();
  welcome.features = link::kOpensPaths;
  head->Add(Type::kWelcome, 0, 0, welcome);
  operations_.Replay(head);
  publications_.Replay(head);
  processes_.Replay(head);
  streams_.Replay(head);
  for (const auto& [name, fds] : store_) {
    std::vector<int> raw;
    for (const UniqueFd& fd : fds) raw.push_back(fd.get());
    head->Add(Type::kStored, name, 0, {}, raw);
  }
  server_.SyncWhenSent();
}

void Monitor::OnIdle(Message message) {
  const auto idle = message.Body<link::Idle>();
  // The result of an upgrade is for a head that is there; and one that is
  // leaving is dead already.
  if (upgrade_ != nullptr || head_.state() != HeadState::kReady) return;
  if (idle.taken != head_.messages() || server_.has_work()) return;
  for (const UniqueFd& fd : message.fds) {
    // Without it the head would not come back for what it waits for.
    if (poller_.Add(fd.get(), EPOLLIN, {EventKind::kWake}) != 0) {
      for (const UniqueFd& added : message.fds) poller_.Remove(added.get());
      return;
    }
  }
  wake_ = std::move(message.fds);
  head_.Rest();
}

void Monitor::Forget(uint64_t token) {
  operations_.Forget(token);
  publications_.Forget(token);
  if (!operations_.adopting()) processes_.DropUnclaimed();
}

void Monitor::StoreFds(Message message) {
  store_.try_emplace(message.header.token, std::move(message.fds));
}

}  // namespace hydra::monitor
