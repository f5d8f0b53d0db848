#include "test/unit/task/fake_monitor.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <utility>

namespace hydra {
namespace {

using link::Type;

// When everything ends here.
constexpr int64_t kExitedAt = 1'700'000'000'000'000'007;

std::vector<std::string> TakeStrings(std::string_view& tail, int count) {
  std::vector<std::string> strings;
  for (int i = 0; i < count; ++i) {
    const size_t end = tail.find('\0');
    REQUIRE(end != std::string_view::npos);
    strings.emplace_back(tail.substr(0, end));
    tail.remove_prefix(end + 1);
  }
  return strings;
}

}  // namespace

std::unique_ptr<MonitorClient> FakeMonitor::Connect(EventLoop* loop) {
  Disconnect();
  loop_ = loop;
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  link_.Reset(ends[0]);
  UniqueFd head(ends[1]);
  reader_ = {};
  writer_.Clear();
  ++generation_;
  // The head reads it when it has said hello, and finds it there.
  Replay();
  auto watch =
      loop_->Watch(link_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); });
  REQUIRE(watch.ok());
  readable_ = *std::move(watch);
  auto client = MonitorClient::Connect(loop, std::move(head));
  REQUIRE(client.ok());
  return *std::move(client);
}

void FakeMonitor::TellStream(uint64_t stream) {
  link::StreamState state = {};
  state.ended = 1;
  if (on_stream) state = on_stream();
  state.stream = stream;
  Tell(Type::kStream, 0, 0, state);
}

void FakeMonitor::Disconnect() {
  // What the head has said before it died counts.
  if (link_.valid()) OnReadable();
  readable_ = {};
  link_.Reset();
}

void FakeMonitor::Replay() {
  link::Welcome welcome = {};
  welcome.version = link::kLinkVersion;
  welcome.monitor_pid = 77;
  welcome.generation = generation_;
  Tell(Type::kWelcome, 0, 0, welcome);
  for (const auto& [key, operation] : operations_) TellOperation(key, true);
  for (const auto& [key, result] : publications_) TellPublication(key);
  for (const auto& [process, pid] : claims_) {
    const bool exited = exits_.contains(process);
    Tell(Type::kProcess, 0, 0, link::Process{process, pid, exited});
    if (exited) Tell(Type::kExit, 0, 0, exits_[process]);
  }
  for (const uint64_t stream : streams_) {
    link::StreamState state = {};
    state.stream = stream;
    Tell(Type::kStream, 0, 0, state);
  }
  for (const auto& [name, fds] : stored_) {
    std::vector<int> numbers;
    for (const auto& fd : fds) numbers.push_back(fd.get());
    writer_.Add(Type::kStored, name, 0, std::string_view(), numbers);
  }
  for (const auto& [token, request] : requests_) {
    Tell(Type::kRequest, token, 0, request.info, request.payload);
  }
  writer_.Add(Type::kSynced);
  writer_.FlushAll(link_.get());
}

void FakeMonitor::TellOperation(OperationKey key, bool replay) {
  const Operation& operation = operations_[key];
  if (operation.pending) return;
  std::vector<int> fds;
  if (replay && operation.kept.valid()) fds.push_back(operation.kept.get());
  Tell(Type::kOperation, key.token, key.step, operation.result, operation.text,
       fds);
  if (operation.exit.has_value()) {
    Tell(Type::kExit, key.token, key.step, *operation.exit);
  }
}

void FakeMonitor::TakeUpgrade(const link::Message& message) {
  const OperationKey key{message.header.token, message.header.step};
  if (operations_.contains(key)) {
    TellOperation(key, false);
    return;
  }
  UpgradeOrder order{key, message.Body<link::Upgrade>().flags, {}};
  std::string_view tail = message.tail();
  for (size_t end; (end = tail.find('\0')) != tail.npos;
       tail.remove_prefix(end + 1)) {
    order.strings.emplace_back(tail.substr(0, end));
  }
  upgrades_.push_back(std::move(order));
  operations_[key].pending = true;
}

void FakeMonitor::EndUpgrade(OperationKey key, int error, int64_t paused,
                             const std::vector<std::string>& texts) {
  Operation& operation = operations_.at(key);
  operation.pending = false;
  operation.result.kind = static_cast<uint32_t>(link::OperationKind::kUpgrade);
  operation.result.error = error;
  operation.result.paused = paused;
  for (const std::string& text : texts) {
    operation.text.append(text).push_back('\0');
  }
  TellOperation(key, false);
}

uint64_t FakeMonitor::SendRequest(std::string payload, link::Request info) {
  const uint64_t token = next_token_++;
  info.connection = 1;
  info.stream_id = static_cast<uint32_t>(2 * token - 1);
  info.frame_length = static_cast<uint32_t>(payload.size());
  Tell(Type::kRequest, token, 0, info, payload);
  requests_[token] = Request{info, std::move(payload)};
  return token;
}

void FakeMonitor::Cancel(uint64_t token) {
  requests_.erase(token);
  writer_.Add(Type::kCancelled, token);
  writer_.FlushAll(link_.get());
}

void FakeMonitor::TakeBackAnswer(uint64_t token) {
  REQUIRE(answers_.erase(token) == 1);
  requests_[token] = answered_.at(token);
}

const std::string* FakeMonitor::AnswerTo(uint64_t token) const {
  auto it = answers_.find(token);
  return it == answers_.end() ? nullptr : &it->second;
}

void FakeMonitor::EndSpawn(OperationKey key, int wait_status) {
  Operation& operation = operations_.at(key);
  REQUIRE_FALSE(operation.exit.has_value());
  operation.result.exited = 1;
  operation.exit = link::Exit{0, operation.result.pid, wait_status, kExitedAt};
  Tell(Type::kExit, key.token, key.step, *operation.exit);
}

void FakeMonitor::EndPublish(OperationKey key, Publication result) {
  auto& known = publications_.at(key);
  REQUIRE_FALSE(known.has_value());
  known = std::move(result);
  TellPublication(key);
}

void FakeMonitor::TellPublication(OperationKey key) {
  const auto& result = publications_.at(key);
  if (!result.has_value()) return;
  link::Published body = {};
  body.error = result->error;
  body.ambiguous = result->ambiguous ? 1 : 0;
  Tell(Type::kPublished, key.token, key.step, body, result->response);
}

void FakeMonitor::EndProcess(uint64_t process, int wait_status) {
  REQUIRE(claims_.contains(process));
  REQUIRE_FALSE(exits_.contains(process));
  exits_[process] =
      link::Exit{process, claims_[process], wait_status, kExitedAt};
  Tell(Type::kExit, 0, 0, exits_[process]);
}

void FakeMonitor::TellAgain(uint64_t process) {
  const link::Exit exit = consumed_exits_.at(process);
  exits_[process] = exit;
  claims_[process] = exit.pid;
}

bool FakeMonitor::KnowsToken(uint64_t token) const {
  auto it = operations_.lower_bound({token, 0});
  return it != operations_.end() && it->first.token == token;
}

void FakeMonitor::OnReadable() {
  while (true) {
    link::Message message;
    switch (reader_.Next(link_.get(), &message)) {
      case link::Reader::Result::kMessage:
        Take(std::move(message));
        break;
      case link::Reader::Result::kAgain:
        return;
      case link::Reader::Result::kClosed:
        readable_ = {};
        return;
      case link::Reader::Result::kError:
        FAIL("the head does not speak our protocol");
    }
  }
}

void FakeMonitor::Take(link::Message message) {
  const uint64_t token = message.header.token;
  switch (message.type()) {
    case Type::kHello:
      CHECK(message.Body<link::Hello>().version == link::kLinkVersion);
      break;
    case Type::kResponse:
      CHECK_FALSE(answers_.contains(token));
      answers_[token] = std::string(message.tail());
      if (auto node = requests_.extract(token); !node.empty()) {
        answered_.insert(std::move(node));
      }
      ForgetToken(token);
      break;
    case Type::kSpawn:
      TakeSpawn(std::move(message));
      break;
    case Type::kSignal:
      TakeSignal(message);
      break;
    case Type::kPublish:
      TakePublish(message);
      break;
    case Type::kUpgrade:
      TakeUpgrade(message);
      break;
    case Type::kInspect: {
      link::Status status = {};
      status.streams = 4;
      status.upgrades = 6;
      Tell(Type::kStatus, token, message.header.step, status,
           std::string_view("5.5.5\0/opt/hydra-monitor\0", 25));
      break;
    }
    case Type::kForgetToken:
      ForgetToken(token);
      break;
    case Type::kClaim: {
      const auto claim = message.Body<link::Claim>();
      CHECK(claim.process != 0);
      claims_[claim.process] = claim.pid;
      // Claimed again by a head that replays.
      if (exits_.contains(claim.process)) {
        Tell(Type::kExit, 0, 0, exits_[claim.process]);
      }
      break;
    }
    case Type::kForgetProcess: {
      const uint64_t process = message.Body<link::Process>().process;
      claims_.erase(process);
      if (auto node = exits_.extract(process); !node.empty()) {
        consumed_exits_.insert(std::move(node));
      }
      break;
    }
    case Type::kStreamAdd:
      streams_.insert(message.Body<link::StreamAdd>().stream);
      break;
    case Type::kStreamClose:
      streams_.erase(message.Body<link::StreamRef>().stream);
      break;
    case Type::kStreamFinish:
      TellStream(message.Body<link::StreamRef>().stream);
      break;
    case Type::kStreamsAsk:
      for (const uint64_t stream : streams_) TellStream(stream);
      writer_.Add(Type::kStreamsTold);
      writer_.FlushAll(link_.get());
      break;
    case Type::kStore:
      stored_.try_emplace(token, std::move(message.fds));
      break;
    case Type::kUnstore:
      stored_.erase(token);
      break;
    case Type::kCloseListener:
      writer_.Add(Type::kListenerClosed);
      writer_.FlushAll(link_.get());
      break;
    case Type::kQuit:
      quit_ = true;
      break;
    default:
      break;
  }
}

void FakeMonitor::TakeSpawn(link::Message message) {
  const OperationKey key{message.header.token, message.header.step};
  // The head knows what it has asked for, and does not ask again.
  CHECK_FALSE(operations_.contains(key));
  const auto body = message.Body<link::Spawn>();
  Spawn spawn;
  spawn.key = key;
  spawn.flags = body.flags;
  std::string_view tail = message.tail();
  spawn.argv = TakeStrings(tail, body.arg_count);
  spawn.env = TakeStrings(tail, body.env_count);
  CHECK(tail.empty());
  Operation& operation = operations_[key];
  for (size_t i = 0; i < message.fds.size(); ++i) {
    if (body.fd_target[i] >= 0) {
      spawn.fds[body.fd_target[i]] = std::move(message.fds[i]);
    } else {
      CHECK((body.flags & link::kSpawnKeepsFd) != 0);
      operation.kept = std::move(message.fds[i]);
    }
  }
  operation.result.kind = static_cast<uint32_t>(link::OperationKind::kSpawn);
  operation.result.pid = next_pid_++;
  const SpawnResult result = on_spawn ? on_spawn(spawn) : SpawnResult();
  spawns_.push_back(std::move(spawn));
  operation.result.error = result.error;
  if (result.error != 0) operation.result.pid = 0;
  if (result.error == 0 && result.wait_status.has_value()) {
    operation.result.exited = 1;
    operation.exit =
        link::Exit{0, operation.result.pid, *result.wait_status, kExitedAt};
  }
  TellOperation(key, false);
}

void FakeMonitor::TakeSignal(const link::Message& message) {
  const OperationKey key{message.header.token, message.header.step};
  const auto body = message.Body<link::Signal>();
  signals_.push_back(body);
  Operation& operation = operations_[key];
  operation.result.kind = static_cast<uint32_t>(link::OperationKind::kSignal);
  if (on_signal) {
    operation.result.error = on_signal(body);
  } else if (body.process != 0 && !claims_.contains(body.process)) {
    operation.result.error = ENOENT;
  }
  TellOperation(key, false);
}

void FakeMonitor::TakePublish(const link::Message& message) {
  const OperationKey key{message.header.token, message.header.step};
  if (publications_.contains(key)) {
    TellPublication(key);
    return;
  }
  const auto body = message.Body<link::Publish>();
  REQUIRE(body.address_size <= message.tail().size());
  Publish publish;
  publish.key = key;
  publish.address = message.tail().substr(0, body.address_size);
  publish.request = message.tail().substr(body.address_size);
  publish.timeout = std::chrono::milliseconds(body.timeout_ms);
  publishes_.push_back(publish);
  publications_[key] = on_publish ? on_publish(publish) : std::nullopt;
  TellPublication(key);
}

void FakeMonitor::ForgetToken(uint64_t token) {
  std::erase_if(operations_,
                [token](auto& entry) { return entry.first.token == token; });
  std::erase_if(publications_,
                [token](auto& entry) { return entry.first.token == token; });
}

}  // namespace hydra
