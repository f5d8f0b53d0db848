#include "shim/link/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "shim/base/crash_point.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/link/type_name.h"

namespace hydra {
namespace {

// Up to the next NUL, or to the end.
std::string TakeString(std::string_view* text) {
  const size_t end = text->find('\0');
  std::string taken(text->substr(0, end));
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return taken;
}

}  // namespace

using link::Type;

uint32_t ProcessExit::status() const {
  // The end of a process that nobody saw: what a shim says that has to guess.
  if (wait_status == link::kNoSuchChild) return 255;
  if (WIFSIGNALED(wait_status)) {
    return 128u + static_cast<uint32_t>(WTERMSIG(wait_status));
  }
  return static_cast<uint32_t>(WEXITSTATUS(wait_status));
}

MonitorClient::MonitorClient(EventLoop* loop, UniqueFd fd)
    : loop_(loop), fd_(std::move(fd)) {}

absl::StatusOr<std::unique_ptr<MonitorClient>> MonitorClient::Connect(
    EventLoop* loop, UniqueFd fd) {
  std::unique_ptr<MonitorClient> client(new MonitorClient(loop, std::move(fd)));
  HYDRA_RETURN_IF_ERROR(client->Synchronise());
  return client;
}

absl::Status MonitorClient::Synchronise() {
  link::Hello hello = {};
  hello.version = link::kLinkVersion;
  hello.head_pid = getpid();
  writer_.Add(Type::kHello, 0, 0, hello);
  Flush();
  while (!synced_) {
    link::Message message;
    switch (reader_.Next(fd_.get(), &message)) {
      case link::Reader::Result::kMessage:
        Take(std::move(message));
        break;
      case link::Reader::Result::kAgain: {
        pollfd readable = {fd_.get(), POLLIN, 0};
        poll(&readable, 1, -1);
        break;
      }
      case link::Reader::Result::kClosed:
        return MakeError(absl::StatusCode::kUnavailable,
                         "link: the monitor is gone");
      case link::Reader::Result::kError:
        return ErrnoError(errno, "link: read from monitor");
    }
  }
  return absl::OkStatus();
}

absl::Status MonitorClient::Serve(Handlers handlers) {
  handlers_ = std::move(handlers);
  HYDRA_ASSIGN_OR_RETURN(
      readable_,
      loop_->Watch(fd_.get(), EPOLLIN, [this](uint32_t) { OnReadable(); }));
  serving_ = true;
  for (auto& [process, exit] : std::exchange(early_exits_, {})) {
    handlers_.on_exit(process, exit);
  }
  for (auto& request : std::exchange(early_requests_, {})) {
    handlers_.on_request(std::move(request));
  }
  // A read may have taken more than the replay.
  OnReadable();
  return absl::OkStatus();
}

void MonitorClient::OnReadable() {
  while (true) {
    link::Message message;
    switch (reader_.Next(fd_.get(), &message)) {
      case link::Reader::Result::kMessage:
        Take(std::move(message));
        break;
      case link::Reader::Result::kAgain:
        return;
      case link::Reader::Result::kClosed:
        handlers_.on_monitor_lost();
        return;
      case link::Reader::Result::kError:
        LogError(Message(ErrnoError(errno, "link: read from monitor")));
        handlers_.on_monitor_lost();
        return;
    }
  }
}

void MonitorClient::Take(link::Message message) {
  ++taken_;
  resting_ = false;
  const uint64_t token = message.header.token;
  switch (message.type()) {
    case Type::kWelcome:
      welcome_ = message.Body<link::Welcome>();
      break;
    case Type::kSynced:
      synced_ = true;
      break;
    case Type::kRequest: {
      Request request{token, message.Body<link::Request>(),
                      std::string(message.tail())};
      if (serving_) {
        handlers_.on_request(std::move(request));
      } else {
        early_requests_.push_back(std::move(request));
      }
      break;
    }
    case Type::kCancelled:
      if (serving_) {
        handlers_.on_cancelled(token);
      } else {
        std::erase_if(early_requests_, [token](const Request& request) {
          return request.token == token;
        });
      }
      break;
    case Type::kOperation: {
      Operation& operation = FindOrAdd({token, message.header.step});
      if (!message.fds.empty()) operation.kept = std::move(message.fds[0]);
      operation.text = message.tail();
      operation.result.Set(message.Body<link::Operation>());
      break;
    }
    case Type::kProcess:
      inherits_processes_ = true;
      break;
    case Type::kPublished: {
      const auto body = message.Body<link::Published>();
      publications_[{token, message.header.step}].Set(
          {body.error, body.ambiguous != 0, std::string(message.tail())});
      break;
    }
    case Type::kExit:
      TakeExit(message);
      break;
    case Type::kStream: {
      const auto state = message.Body<link::StreamState>();
      // What was told of one that we have closed meanwhile is of no interest.
      if (synced_ && !streams_.contains(state.stream)) break;
      streams_[state.stream] = state;
      if (serving_) handlers_.on_stream(state);
      break;
    }
    case Type::kStatus: {
      auto node = inspections_.extract({token, message.header.step});
      if (node.empty()) break;
      MonitorStatus status;
      status.numbers = message.Body<link::Status>();
      std::string_view text = message.tail();
      status.version = TakeString(&text);
      status.program = TakeString(&text);
      node.mapped().Set(std::move(status));
      break;
    }
    case Type::kStored:
      stored_[token] = std::move(message.fds);
      break;
    case Type::kStreamsTold:
      if (streams_asked_.empty()) break;
      streams_asked_.front().Set(true);
      streams_asked_.pop_front();
      break;
    case Type::kListenerClosed:
      listener_closed_.Set(true);
      break;
    default:
      // A newer monitor may say what we do not know.
      break;
  }
}

void MonitorClient::TakeExit(const link::Message& message) {
  const auto body = message.Body<link::Exit>();
  const ProcessExit exit{body.pid, body.wait_status, body.exited_at};
  if (body.process == 0) {
    FindOrAdd({message.header.token, message.header.step}).exit.Set(exit);
  } else if (serving_) {
    handlers_.on_exit(body.process, exit);
  } else {
    early_exits_.emplace_back(body.process, exit);
  }
}

void MonitorClient::Flush() {
  [[maybe_unused]] const char* const type = NameOf(writer_.next_type());
  HYDRA_CRASH_POINT("link.send ", type);
  // A failure shows as a closed link at the next read.
  writer_.FlushAll(fd_.get());
  HYDRA_CRASH_POINT("link.sent ", type);
}

void MonitorClient::Park(uint64_t token) {
  writer_.Add(Type::kParked, token);
  Flush();
}

void MonitorClient::Respond(uint64_t token, std::string_view payload) {
  writer_.Add(Type::kResponse, token, 0, payload);
  Flush();
  std::erase_if(operations_,
                [token](auto& entry) { return entry.first.token == token; });
}

std::vector<uint64_t> MonitorClient::OperationTokens() const {
  std::vector<uint64_t> tokens;
  for (const auto& [key, operation] : operations_) {
    if (tokens.empty() || tokens.back() != key.token) {
      tokens.push_back(key.token);
    }
  }
  return tokens;
}

uint32_t MonitorClient::LastStep(uint64_t token, uint32_t limit) const {
  auto it = operations_.lower_bound({token, limit});
  if (it == operations_.begin()) return 0;
  --it;
  return it->first.token == token ? it->first.step : 0;
}

Async<absl::StatusOr<int>> MonitorClient::Spawn(OperationKey key,
                                                SpawnRequest request) {
  if (!Knows(key)) {
    link::Spawn body = {};
    std::string strings;
    for (const auto& argument : request.argv) {
      strings.append(argument).push_back('\0');
    }
    body.arg_count = static_cast<uint16_t>(request.argv.size());
    if (request.env.has_value()) {
      for (const auto& variable : *request.env) {
        strings.append(variable).push_back('\0');
      }
      body.env_count = static_cast<uint16_t>(request.env->size());
    } else {
      body.flags |= link::kSpawnInheritsEnv;
    }
    std::vector<int> fds;
    for (const auto& [target, fd] : request.fds) {
      body.fd_target[fds.size()] = target;
      fds.push_back(fd);
    }
    if (request.adopts) body.flags |= link::kSpawnAdopts;
    if (request.kept_fd >= 0) {
      body.flags |= link::kSpawnKeepsFd;
      body.fd_target[fds.size()] = -1;
      fds.push_back(request.kept_fd);
    }
    FindOrAdd(key);
    writer_.Add(Type::kSpawn, key.token, key.step, body, strings, fds);
    Flush();
  }
  const Future<link::Operation> result = FindOrAdd(key).result;
  const link::Operation outcome = co_await result;
  if (outcome.error != 0) co_return ErrnoError(outcome.error, "spawn");
  co_return outcome.pid;
}

Async<ProcessExit> MonitorClient::WaitExit(OperationKey key) {
  const Future<ProcessExit> exit = FindOrAdd(key).exit;
  const ProcessExit result = co_await exit;
  co_return result;
}

int MonitorClient::KeptFd(OperationKey key) const {
  auto it = operations_.find(key);
  return it == operations_.end() ? -1 : it->second.kept.get();
}

Async<int> MonitorClient::SignalProcess(OperationKey key, uint64_t process,
                                        int signal) {
  if (!Knows(key)) {
    link::Signal body = {};
    body.process = process;
    body.signal = signal;
    FindOrAdd(key);
    writer_.Add(Type::kSignal, key.token, key.step, body);
    Flush();
  }
  const Future<link::Operation> result = FindOrAdd(key).result;
  const link::Operation outcome = co_await result;
  co_return outcome.error;
}

void MonitorClient::SignalSpawn(OperationKey key, OperationKey target,
                                int signal) {
  link::Signal body = {};
  body.target_token = target.token;
  body.target_step = target.step;
  body.signal = signal;
  FindOrAdd(key);
  writer_.Add(Type::kSignal, key.token, key.step, body);
  Flush();
}

Async<Publication> MonitorClient::Publish(OperationKey key, std::string address,
                                          std::string request,
                                          std::chrono::milliseconds timeout) {
  if (!publications_.contains(key)) {
    link::Publish body = {};
    body.timeout_ms = static_cast<uint32_t>(timeout.count());
    body.address_size = static_cast<uint32_t>(address.size());
    writer_.Add(Type::kPublish, key.token, key.step, body, address + request);
    Flush();
  }
  const Future<Publication> result = publications_[key];
  const Publication publication = co_await result;
  co_return publication;
}

std::vector<uint64_t> MonitorClient::PublicationTokens() const {
  std::vector<uint64_t> tokens;
  for (const auto& [key, result] : publications_) {
    if (tokens.empty() || tokens.back() != key.token) {
      tokens.push_back(key.token);
    }
  }
  return tokens;
}

Async<UpgradeOutcome> MonitorClient::Upgrade(OperationKey key,
                                             UpgradeOrder order) {
  if (!Knows(key)) {
    link::Upgrade body = {};
    if (order.trial_only) body.flags |= link::kUpgradeTrialOnly;
    body.argument_count = static_cast<uint32_t>(order.head_arguments.size());
    std::string strings;
    for (const std::string* text :
         {&order.monitor, &order.head, &order.head_version}) {
      strings.append(*text).push_back('\0');
    }
    for (const std::string& argument : order.head_arguments) {
      strings.append(argument).push_back('\0');
    }
    FindOrAdd(key);
    writer_.Add(Type::kUpgrade, key.token, key.step, body, strings);
    Flush();
  }
  const Future<link::Operation> result = FindOrAdd(key).result;
  const link::Operation operation = co_await result;
  UpgradeOutcome outcome;
  outcome.error = operation.error;
  outcome.paused = operation.paused;
  std::string_view text = FindOrAdd(key).text;
  outcome.monitor_from = TakeString(&text);
  outcome.monitor_to = TakeString(&text);
  outcome.head_from = TakeString(&text);
  outcome.head_to = TakeString(&text);
  outcome.reason = TakeString(&text);
  co_return outcome;
}

Future<MonitorStatus> MonitorClient::Inspect(OperationKey key) {
  writer_.Add(Type::kInspect, key.token, key.step);
  Flush();
  return inspections_[key];
}

void MonitorClient::ForgetToken(uint64_t token) {
  writer_.Add(Type::kForgetToken, token);
  Flush();
  std::erase_if(operations_,
                [token](auto& entry) { return entry.first.token == token; });
  std::erase_if(publications_,
                [token](auto& entry) { return entry.first.token == token; });
}

uint64_t MonitorClient::NewInternalToken() {
  while (true) {
    const uint64_t token = next_internal_++;
    auto it = operations_.lower_bound({token, 0});
    if (it == operations_.end() || it->first.token != token) return token;
  }
}

void MonitorClient::Claim(uint64_t process, int pid) {
  link::Claim body = {};
  body.process = process;
  body.pid = pid;
  writer_.Add(Type::kClaim, 0, 0, body);
  Flush();
}

void MonitorClient::ForgetProcess(uint64_t process) {
  link::Process body = {};
  body.process = process;
  writer_.Add(Type::kForgetProcess, 0, 0, body);
  Flush();
}

void MonitorClient::AddStream(uint64_t stream, link::StreamKind kind,
                              uint32_t flags, const std::vector<int>& fds,
                              const StreamSpool& spool, uint64_t after) {
  link::StreamAdd body = {};
  body.after = after;
  body.stream = stream;
  body.kind = static_cast<uint32_t>(kind);
  body.flags = flags;
  body.spool_max_bytes = spool.max_bytes;
  body.spool_policy = static_cast<uint32_t>(spool.policy);
  body.spool_stall_ms = spool.stall_ms;
  if (!streams_.contains(stream)) {
    link::StreamState state = {};
    state.stream = stream;
    state.kind = body.kind;
    streams_[stream] = state;
  }
  writer_.Add(Type::kStreamAdd, 0, 0, body, spool.directory, fds);
  Flush();
}

void MonitorClient::CloseStream(uint64_t stream) {
  streams_.erase(stream);
  writer_.Add(Type::kStreamClose, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::StartStream(uint64_t stream) {
  writer_.Add(Type::kStreamStart, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::FinishStream(uint64_t stream) {
  writer_.Add(Type::kStreamFinish, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::CloseStreamStdin(uint64_t stream) {
  writer_.Add(Type::kStreamCloseStdin, 0, 0, link::StreamRef{stream});
  Flush();
}

void MonitorClient::ResizeStream(uint64_t stream, uint16_t rows,
                                 uint16_t columns) {
  writer_.Add(Type::kStreamResize, 0, 0,
              link::StreamResize{stream, rows, columns, 0});
  Flush();
}

void MonitorClient::SetStreamJournal(uint64_t stream, uint64_t journal,
                                     link::JournalTag tag) {
  writer_.Add(
      Type::kStreamJournal, 0, 0,
      link::StreamJournal{stream, journal, static_cast<uint32_t>(tag), 0});
  Flush();
}

Async<int> MonitorClient::WriteStream(OperationKey key, uint64_t stream,
                                      std::string data) {
  if (!Knows(key)) {
    FindOrAdd(key);
    writer_.Add(Type::kStreamWrite, key.token, key.step,
                link::StreamRef{stream}, data);
    Flush();
  }
  const Future<link::Operation> result = FindOrAdd(key).result;
  const link::Operation outcome = co_await result;
  co_return outcome.error;
}

void MonitorClient::OpenJournal(uint64_t journal, const std::string& directory,
                                uint64_t max_bytes) {
  writer_.Add(Type::kJournalOpen, 0, 0, link::JournalOpen{journal, max_bytes},
              directory);
  Flush();
}

void MonitorClient::CloseJournal(uint64_t journal) {
  writer_.Add(Type::kJournalClose, 0, 0, link::JournalRef{journal});
  Flush();
}

Future<bool> MonitorClient::AskStreams() {
  const Future<bool> answered = streams_asked_.emplace_back();
  writer_.Add(Type::kStreamsAsk);
  Flush();
  return answered;
}

const link::StreamState* MonitorClient::FindStream(uint64_t stream) const {
  auto it = streams_.find(stream);
  return it == streams_.end() ? nullptr : &it->second;
}

void MonitorClient::Store(uint64_t name, const std::vector<int>& fds) {
  writer_.Add(Type::kStore, name, 0, std::string_view(), fds);
  Flush();
}

void MonitorClient::Unstore(uint64_t name) {
  stored_.erase(name);
  writer_.Add(Type::kUnstore, name);
  Flush();
}

std::vector<UniqueFd> MonitorClient::TakeStored(uint64_t name) {
  auto node = stored_.extract(name);
  return node.empty() ? std::vector<UniqueFd>() : std::move(node.mapped());
}

void MonitorClient::Rest(const std::vector<int>& wake) {
  resting_ = true;
  writer_.Add(Type::kIdle, 0, 0, link::Idle{taken_}, {}, wake);
  Flush();
}

Future<bool> MonitorClient::CloseListener() {
  writer_.Add(Type::kCloseListener);
  Flush();
  return listener_closed_;
}

void MonitorClient::Quit() {
  writer_.Add(Type::kQuit);
  Flush();
}

}  // namespace hydra
