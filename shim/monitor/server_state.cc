// The server's part of the state that a successor takes over: see state.h.

#include <fcntl.h>

#include <memory>
#include <utility>

#include "shim/monitor/log.h"
#include "shim/monitor/server.h"

namespace hydra::monitor {

void Server::Save(StateWriter* state) const {
  state->Fd(listener_);
  state->Signed(resume_at_);
  state->Number(next_connection_);
  state->Number(next_token_);
  state->BeginList();
  for (const auto& [id, connection] : connections_) {
    state->BeginRecord();
    connection->Save(state);
    state->EndRecord();
  }
  state->EndList();
  state->BeginList();
  for (const auto& [token, request] : requests_) {
    state->BeginRecord();
    state->Number(token);
    state->Struct(request.body);
    state->Bytes(request.payload);
    state->EndRecord();
  }
  state->EndList();
}

void Server::Load(StateReader* state) {
  listener_ = state->Fd();
  resume_at_ = state->Signed();
  next_connection_ = state->Number();
  next_token_ = state->Number();
  state->BeginList();
  while (state->BeginRecord()) {
    auto connection = std::make_unique<Connection>(poller_, 0, UniqueFd());
    connection->Load(state);
    const uint64_t id = connection->id();
    // A number that came again would be somebody else's answer.
    if (id >= next_connection_) state->Fail();
    connections_[id] = std::move(connection);
    state->EndRecord();
  }
  state->EndList();
  state->BeginList();
  while (state->BeginRecord()) {
    LoadRequest(state);
    state->EndRecord();
  }
  state->EndList();
}

void Server::LoadRequest(StateReader* state) {
  const uint64_t token = state->Number();
  PendingRequest request;
  request.body = state->Struct<link::Request>();
  request.payload = state->Bytes();
  const auto found = connections_.find(request.body.connection);
  if (token >= next_token_ || found == connections_.end()) {
    state->Fail();
    return;
  }
  ++found->second->unanswered;
  found->second->unanswered_bytes += request.payload.size();
  requests_.emplace(token, std::move(request));
}

void Server::ResumeAll() {
  spare_.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (listener_.valid() && resume_at_ == kNever) Resume();
  std::vector<Connection*> lost;
  for (const auto& [id, connection] : connections_) {
    const int error = connection->Resume();
    if (error == 0) continue;
    LogError("watch connection, closing it: %s", ErrorName(error));
    lost.push_back(connection.get());
  }
  for (Connection* connection : lost) Close(connection);
}

}  // namespace hydra::monitor
