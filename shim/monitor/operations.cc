#include "shim/monitor/operations.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <string_view>
#include <vector>

#include "shim/monitor/log.h"
#include "shim/monitor/processes.h"
#include "shim/monitor/spawn.h"

namespace hydra::monitor {
namespace {

using link::Message;
using link::Type;

// Takes `count` NUL-terminated strings off `tail`; false if there are fewer.
bool TakeStrings(std::string_view* tail, size_t count,
                 std::vector<const char*>* strings) {
  for (size_t i = 0; i < count; ++i) {
    const size_t end = tail->find('\0');
    if (end == tail->npos) return false;
    strings->push_back(tail->data());
    tail->remove_prefix(end + 1);
  }
  return true;
}

}  // namespace

bool Operations::TellKnown(const Message& message, link::Writer* head) const {
  const Name name(message.header.token, message.header.step);
  const auto found = known_.find(name);
  if (found == known_.end()) return false;
  if (found->second.pending) return true;
  head->Add(Type::kOperation, name.first, name.second, found->second.result,
            found->second.text);
  if (found->second.result.exited != 0) TellExit(name, found->second, head);
  return true;
}

void Operations::TellExit(const Name& name, const Known& known,
                          link::Writer* head) {
  link::Exit exit = {};
  exit.pid = known.result.pid;
  exit.wait_status = known.wait_status;
  exit.exited_at = known.exited_at;
  head->Add(Type::kExit, name.first, name.second, exit);
}

int Operations::StartProgram(const Message& message, pid_t* pid) const {
  const auto body = message.Body<link::Spawn>();
  SpawnArgs args;
  args.file_limit = child_file_limit_;
  std::string_view tail = message.tail();
  std::vector<const char*> env;
  if (!TakeStrings(&tail, body.arg_count, &args.argv) ||
      !TakeStrings(&tail, body.env_count, &env) || !tail.empty()) {
    return EINVAL;
  }
  if ((body.flags & link::kSpawnInheritsEnv) == 0) args.env = &env;
  for (size_t i = 0; i < message.fds.size(); ++i) {
    const int target = body.fd_target[i];
    if (target < 0) continue;
    args.fds.push_back({message.fds[i].get(), target});
  }
  return SpawnProcess(args, pid);
}

void Operations::Spawn(Message message, link::Writer* head) {
  if (TellKnown(message, head)) return;
  const Name name(message.header.token, message.header.step);
  Known& known = known_[name];
  known.flags = message.Body<link::Spawn>().flags;
  known.result.kind = static_cast<uint32_t>(link::OperationKind::kSpawn);
  pid_t pid = 0;
  known.result.error = StartProgram(message, &pid);
  known.result.pid = pid;
  if (known.result.error != 0) {
    // Nothing runs, so nothing can be adopted or have written anything.
    known.flags &= ~(link::kSpawnAdopts | link::kSpawnKeepsFd);
  }
  if ((known.flags & link::kSpawnAdopts) != 0) ++adopting_;
  if ((known.flags & link::kSpawnKeepsFd) != 0 && !message.fds.empty()) {
    known.kept = std::move(message.fds.back());
  }
  head->Add(Type::kOperation, name.first, name.second, known.result);
}

int Operations::SendSignal(const link::Signal& signal) const {
  pid_t pid = 0;
  if (signal.process != 0) {
    const int error = processes_->FindLive(signal.process, &pid);
    if (error != 0) return error;
  } else {
    const auto found =
        known_.find(Name(signal.target_token, signal.target_step));
    if (found == known_.end() || found->second.result.pid == 0) return ENOENT;
    if (found->second.result.exited != 0) return ESRCH;
    pid = found->second.result.pid;
  }
  return kill(pid, signal.signal) == 0 ? 0 : errno;
}

void Operations::Signal(const Message& message, link::Writer* head) {
  if (TellKnown(message, head)) return;
  const Name name(message.header.token, message.header.step);
  Known& known = known_[name];
  known.result.kind = static_cast<uint32_t>(link::OperationKind::kSignal);
  known.result.error = SendSignal(message.Body<link::Signal>());
  head->Add(Type::kOperation, name.first, name.second, known.result);
}

bool Operations::Begin(const Message& message, link::OperationKind kind,
                       link::Writer* head) {
  if (TellKnown(message, head)) return false;
  Known& known = known_[Name(message.header.token, message.header.step)];
  known.result.kind = static_cast<uint32_t>(kind);
  known.pending = true;
  return true;
}

void Operations::Finish(uint64_t token, uint32_t step, int error,
                        int64_t paused, std::string text, link::Writer* head) {
  const auto found = known_.find(Name(token, step));
  if (found == known_.end()) return;
  Known& known = found->second;
  known.pending = false;
  known.result.error = error;
  known.result.paused = paused;
  known.text = std::move(text);
  if (head != nullptr) {
    head->Add(Type::kOperation, token, step, known.result, known.text);
  }
}

void Operations::Save(StateWriter* state) const {
  state->BeginList();
  for (const auto& [name, known] : known_) {
    state->BeginRecord();
    state->Number(name.first);
    state->Number(name.second);
    state->Struct(known.result);
    state->Number(known.flags);
    state->Signed(known.wait_status);
    state->Signed(known.exited_at);
    state->Fd(known.kept);
    state->Number(known.pending);
    state->Bytes(known.text);
    state->EndRecord();
  }
  state->EndList();
}

void Operations::Load(StateReader* state) {
  state->BeginList();
  while (state->BeginRecord()) {
    const uint64_t token = state->Number();
    const auto step = state->As<uint32_t>();
    Known& known = known_[Name(token, step)];
    known.result = state->Struct<link::Operation>();
    known.flags = state->As<uint32_t>();
    known.wait_status = state->As<int32_t>();
    known.exited_at = state->Signed();
    known.kept = state->Fd();
    known.pending = state->Number() != 0;
    known.text = state->Bytes();
    if ((known.flags & link::kSpawnAdopts) != 0) ++adopting_;
    state->EndRecord();
  }
  state->EndList();
}

void Operations::Forget(uint64_t token) {
  auto it = known_.lower_bound(Name(token, 0));
  while (it != known_.end() && it->first.first == token) {
    if ((it->second.flags & link::kSpawnAdopts) != 0) --adopting_;
    it = known_.erase(it);
  }
}

bool Operations::OnExit(pid_t pid, int wait_status, int64_t exited_at,
                        link::Writer* head) {
  for (auto& [name, known] : known_) {
    if (known.result.pid != pid || known.result.exited != 0) continue;
    known.result.exited = 1;
    known.wait_status = wait_status;
    known.exited_at = exited_at;
    if (head != nullptr) TellExit(name, known, head);
    return true;
  }
  return false;
}

void Operations::Replay(link::Writer* head) const {
  for (const auto& [name, known] : known_) {
    std::vector<int> fds;
    if (known.pending) continue;
    if (known.kept.valid()) fds.push_back(known.kept.get());
    head->Add(Type::kOperation, name.first, name.second, known.result,
              known.text, fds);
    if (known.result.exited != 0) TellExit(name, known, head);
  }
}

}  // namespace hydra::monitor
