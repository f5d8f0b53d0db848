#include "shim/monitor/publications.h"

#include <errno.h>

#include <string_view>

namespace hydra::monitor {

void Publications::Publish(const link::Message& message) {
  const Name name(message.header.token, message.header.step);
  const auto [it, is_new] = known_.try_emplace(name);
  Known& known = it->second;
  if (!is_new) {
    if (known.done && head_->output() != nullptr) {
      Tell(name, known, head_->output());
    }
    return;
  }
  const auto body = message.Body<link::Publish>();
  const std::string_view tail = message.tail();
  if (body.address_size == 0 || body.address_size > tail.size()) {
    End(name, &known, {EINVAL, false, {}});
    return;
  }
  known.timeout_ms = body.timeout_ms;
  known.address = tail.substr(0, body.address_size);
  known.payload = tail.substr(body.address_size);
  StartNext();
}

void Publications::StartNext() {
  if (engine_.calling()) return;
  deadline_ = kNever;
  for (auto& [name, known] : known_) {
    if (known.done) continue;
    const int error = engine_.Call(known.address, known.payload);
    if (error != 0) {
      End(name, &known, {error, false, {}});
      continue;
    }
    current_ = name;
    if (known.timeout_ms != 0) {
      deadline_ = MonotonicNow() + known.timeout_ms * kMillisecond;
    }
    return;
  }
}

void Publications::End(const Name& name, Known* known, Engine::Answer answer) {
  known->done = true;
  known->result.error = answer.error;
  known->result.ambiguous = answer.ambiguous ? 1 : 0;
  std::string().swap(known->address);
  known->payload = std::move(answer.payload);
  known->payload.shrink_to_fit();
  if (head_->output() != nullptr) Tell(name, *known, head_->output());
}

void Publications::EndCurrent(Engine::Answer answer) {
  const auto found = known_.find(current_);
  if (found != known_.end()) End(current_, &found->second, std::move(answer));
  StartNext();
}

void Publications::Forget(uint64_t token) {
  auto it = known_.lower_bound(Name(token, 0));
  while (it != known_.end() && it->first.first == token) {
    if (engine_.calling() && it->first == current_) engine_.Abandon();
    it = known_.erase(it);
  }
  StartNext();
}

void Publications::OnEvent(uint64_t id) {
  Engine::Answer answer;
  if (engine_.OnEvent(id, &answer)) EndCurrent(std::move(answer));
}

void Publications::OnDeadline() {
  const bool sent = engine_.sent();
  // Whatever ails this connection, the next call is not to wait behind it.
  engine_.Close();
  EndCurrent({ETIMEDOUT, sent, {}});
}

void Publications::Tell(const Name& name, const Known& known,
                        link::Writer* head) {
  head->Add(link::Type::kPublished, name.first, name.second, known.result,
            known.payload);
}

void Publications::Replay(link::Writer* head) const {
  for (const auto& [name, known] : known_) {
    if (known.done) Tell(name, known, head);
  }
}

}  // namespace hydra::monitor
