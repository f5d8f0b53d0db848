// The events' part of the state that a successor takes over: see state.h. The
// connection goes along with what is half sent and half received on it, so that
// the event under way is neither sent again nor of unknown result.

#include <errno.h>

#include "shim/monitor/engine.h"
#include "shim/monitor/log.h"
#include "shim/monitor/publications.h"

namespace hydra::monitor {

void Engine::Save(StateWriter* state) const {
  state->Fd(fd_);
  state->Bytes(address_);
  state->Bytes(output_);
  state->Number(next_stream_id_);
  state->Number(stream_id_);
  state->BeginRecord();
  frames_.Save(state);
  state->EndRecord();
}

void Engine::Load(StateReader* state) {
  fd_ = state->Fd();
  address_ = state->Bytes();
  output_ = state->Bytes();
  next_stream_id_ = state->As<uint32_t>();
  stream_id_ = state->As<uint32_t>();
  if (state->BeginRecord()) {
    frames_.Load(state);
    state->EndRecord();
  }
  if (next_stream_id_ % 2 == 0 || stream_id_ >= next_stream_id_) state->Fail();
}

int Engine::Resume() {
  if (!fd_.valid()) return calling() ? EBADF : 0;
  interest_ = EPOLLIN | EPOLLRDHUP;
  if (!sent()) interest_ |= EPOLLOUT;
  return poller_->Add(fd_.get(), interest_, {EventKind::kEngine, ++id_});
}

void Publications::Save(StateWriter* state) const {
  state->BeginList();
  for (const auto& [name, known] : known_) {
    state->BeginRecord();
    state->Number(name.first);
    state->Number(name.second);
    state->Number(known.done);
    state->Number(known.timeout_ms);
    state->Struct(known.result);
    state->Bytes(known.address);
    state->Bytes(known.payload);
    state->EndRecord();
  }
  state->EndList();
  state->Number(current_.first);
  state->Number(current_.second);
  state->Signed(deadline_);
  state->BeginRecord();
  engine_.Save(state);
  state->EndRecord();
}

void Publications::Load(StateReader* state) {
  state->BeginList();
  while (state->BeginRecord()) {
    const auto token = state->Number();
    Known& known = known_[Name(token, state->As<uint32_t>())];
    known.done = state->Number() != 0;
    known.timeout_ms = state->As<uint32_t>();
    known.result = state->Struct<link::Published>();
    known.address = state->Bytes();
    known.payload = state->Bytes();
    state->EndRecord();
  }
  state->EndList();
  current_.first = state->Number();
  current_.second = state->As<uint32_t>();
  deadline_ = state->Signed();
  if (state->BeginRecord()) {
    engine_.Load(state);
    state->EndRecord();
  }
}

void Publications::Resume() {
  const int error = engine_.Resume();
  if (error == 0) {
    StartNext();
    return;
  }
  LogError("watch the connection to the engine: %s", ErrorName(error));
  const bool was_calling = engine_.calling();
  const bool sent = engine_.sent();
  engine_.Close();
  if (was_calling) {
    EndCurrent({error, sent, {}});
  } else {
    StartNext();
  }
}

}  // namespace hydra::monitor
