// What the monitor does exactly once, under a name.

#include <sys/wait.h>

#include <utility>

#include "shim/base/status.h"
#include "shim/link/client.h"

namespace hydra {

using link::Type;

namespace {

void AddStrings(const std::vector<std::string>& strings, std::string* to) {
  for (const std::string& text : strings) to->append(text).push_back('\0');
}

// Up to the next NUL, or to the end.
std::string TakeString(std::string_view* text) {
  const size_t end = text->find('\0');
  std::string taken(text->substr(0, end));
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return taken;
}

template <typename Value>
std::vector<uint64_t> TokensOf(
    const std::map<OperationKey, Value>& operations) {
  std::vector<uint64_t> tokens;
  for (const auto& [key, value] : operations) {
    if (tokens.empty() || tokens.back() != key.token) {
      tokens.push_back(key.token);
    }
  }
  return tokens;
}

}  // namespace

uint32_t ProcessExit::status() const {
  // The end of a process that nobody saw: what a shim says that has to guess.
  if (wait_status == link::kNoSuchChild) return 255;
  if (WIFSIGNALED(wait_status)) {
    return 128u + static_cast<uint32_t>(WTERMSIG(wait_status));
  }
  return static_cast<uint32_t>(WEXITSTATUS(wait_status));
}

std::vector<uint64_t> MonitorClient::OperationTokens() const {
  return TokensOf(operations_);
}

uint32_t MonitorClient::LastStep(uint64_t token, uint32_t limit) const {
  auto it = operations_.lower_bound({token, limit});
  if (it == operations_.begin()) return 0;
  --it;
  return it->first.token == token ? it->first.step : 0;
}

Async<absl::StatusOr<int>> MonitorClient::Spawn(OperationKey key,
                                                SpawnRequest request) {
  link::Spawn body = {};
  std::string strings;
  AddStrings(request.argv, &strings);
  body.arg_count = static_cast<uint16_t>(request.argv.size());
  if (request.env.has_value()) {
    AddStrings(*request.env, &strings);
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
  const Future<link::Operation> result =
      AskOnce(Type::kSpawn, key, body, strings, fds);
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
  link::Signal body = {};
  body.process = process;
  body.signal = signal;
  const Future<link::Operation> result = AskOnce(Type::kSignal, key, body);
  const link::Operation outcome = co_await result;
  co_return outcome.error;
}

void MonitorClient::SignalSpawn(OperationKey key, OperationKey target,
                                int signal) {
  link::Signal body = {};
  body.target_token = target.token;
  body.target_step = target.step;
  body.signal = signal;
  AskOnce(Type::kSignal, key, body);
}

Async<int> MonitorClient::WriteStream(OperationKey key, uint64_t stream,
                                      std::string data) {
  const Future<link::Operation> result =
      AskOnce(Type::kStreamWrite, key, link::StreamRef{stream}, data);
  const link::Operation outcome = co_await result;
  co_return outcome.error;
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
  return TokensOf(publications_);
}

Async<UpgradeOutcome> MonitorClient::Upgrade(OperationKey key,
                                             UpgradeOrder order) {
  link::Upgrade body = {};
  if (order.trial_only) body.flags |= link::kUpgradeTrialOnly;
  body.argument_count = static_cast<uint32_t>(order.head_arguments.size());
  std::string strings;
  AddStrings({order.monitor, order.head, order.head_version}, &strings);
  AddStrings(order.head_arguments, &strings);
  const Future<link::Operation> result =
      AskOnce(Type::kUpgrade, key, body, strings);
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

MonitorStatus MonitorClient::StatusIn(const link::Message& message) {
  MonitorStatus status;
  status.numbers = message.Body<link::Status>();
  std::string_view text = message.tail();
  status.version = TakeString(&text);
  status.program = TakeString(&text);
  return status;
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

}  // namespace hydra
