#include "shim/monitor/server.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "shim/monitor/log.h"

namespace hydra::monitor {
namespace {

using link::Type;

constexpr int kAcceptsPerTurn = 64;
constexpr int kReadsPerTurn = 16;
constexpr size_t kReadSize = 16 << 10;
constexpr int64_t kListenPause = 100 * kMillisecond;
// What waits in the link's queue, where requests are concerned; the rest of
// them waits here, once.
constexpr size_t kLinkQueue = 256 << 10;

bool IsTrusted(int fd) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
    LogWarning("SO_PEERCRED, connection closed: %s", ErrorName(errno));
    return false;
  }
  if (peer.uid == 0 || peer.uid == geteuid()) return true;
  LogWarning("connection of uid %u, pid %d closed", peer.uid, peer.pid);
  return false;
}

// The order is that of ttrpc's own server: see server.go there.
link::RequestFault FindFault(const Frame& frame, uint32_t last_stream_id) {
  if (frame.too_long) return link::kFrameTooLong;
  if (frame.stream_id % 2 == 0) return link::kStreamIdEven;
  if (frame.type != ttrpc::kRequest) return link::kFrameNotRequest;
  if (frame.stream_id <= last_stream_id) return link::kStreamIdReused;
  return link::kFrameOk;
}

}  // namespace

int Server::Open() {
  spare_.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (fcntl(listener_.get(), F_SETFD, FD_CLOEXEC) < 0) return errno;
  const int flags = fcntl(listener_.get(), F_GETFL);
  if (flags < 0 || fcntl(listener_.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    return errno;
  }
  return poller_->Add(listener_.get(), EPOLLIN, {EventKind::kListener});
}

void Server::OnListenReadable() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (!listener_.valid() || resume_at_ != kNever || !AcceptOne()) return;
  }
}

bool Server::AcceptOne() {
  UniqueFd fd(
      accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    switch (errno) {
      case EAGAIN:
        return false;
      case EINTR:
      case ECONNABORTED:
        return true;
      case EMFILE:
      case ENFILE:
        ShedConnection();
        return true;
      default:
        PauseListening(errno);
        return false;
    }
  }
  if (!IsTrusted(fd.get())) return true;
  auto connection =
      std::make_unique<Connection>(poller_, next_connection_, std::move(fd));
  const int error = connection->Open();
  if (error != 0) {
    LogError("watch connection, closing it: %s", ErrorName(error));
    return true;
  }
  connections_[next_connection_++] = std::move(connection);
  return true;
}

void Server::ShedConnection() {
  spare_.Reset();
  {
    const UniqueFd shed(
        accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (shed.valid()) {
      LogError("connection closed: no descriptor is left");
    } else if (errno != EAGAIN) {
      PauseListening(errno);
    }
  }
  spare_.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void Server::PauseListening(int error) {
  LogError("accept connection, pausing: %s", ErrorName(error));
  poller_->Remove(listener_.get());
  resume_at_ = MonotonicNow() + kListenPause;
}

void Server::Resume() {
  resume_at_ = kNever;
  if (!spare_.valid()) spare_.Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!listener_.valid()) return;
  const int error =
      poller_->Add(listener_.get(), EPOLLIN, {EventKind::kListener});
  if (error != 0) resume_at_ = MonotonicNow() + kListenPause;
}

uint64_t Server::AddTtrpc(UniqueFd fd) {
  auto connection =
      std::make_unique<Connection>(poller_, next_connection_, std::move(fd));
  const int error = connection->Open(Connection::Protocol::kTtrpc);
  if (error != 0) {
    LogError("watch connection, closing it: %s", ErrorName(error));
    return 0;
  }
  connections_[next_connection_] = std::move(connection);
  return next_connection_++;
}

void Server::CloseConnection(uint64_t id) {
  const auto found = connections_.find(id);
  if (found != connections_.end()) Close(found->second.get());
}

UniqueFd Server::OnConnection(uint64_t id, uint32_t events) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return UniqueFd();
  Connection* connection = found->second.get();
  if (connection->protocol() == Connection::Protocol::kUnknown) {
    if (!connection->Detect()) {
      Close(connection);
      return UniqueFd();
    }
    if (connection->protocol() == Connection::Protocol::kGrpc) {
      return ReleaseGrpc(connection);
    }
    if (connection->protocol() == Connection::Protocol::kUnknown) {
      // A few bytes that may still become the preface, and then no more.
      if ((events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) {
        Close(connection);
      }
      return UniqueFd();
    }
  }
  // The peer has closed both ways: what it sent is still read, but there is
  // nobody to wait for.
  const bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (gone && !connection->wants_input()) {
    Close(connection);
  } else if (!ReadFrames(connection) || !connection->Flush()) {
    Close(connection);
  } else {
    CloseIfDone(connection);
  }
  return UniqueFd();
}

bool Server::ReadFrames(Connection* connection) {
  static char buffer[kReadSize];
  for (int i = 0; i < kReadsPerTurn && connection->wants_input(); ++i) {
    const ssize_t n = connection->Read(buffer, sizeof(buffer));
    if (n < 0) return false;
    if (n == 0) return true;
    std::string_view data(buffer, static_cast<size_t>(n));
    Frame frame;
    while (connection->frames.Next(&data, &frame)) {
      AddRequest(connection, std::move(frame));
    }
  }
  return true;
}

void Server::AddRequest(Connection* connection, Frame frame) {
  if (frame.type == ttrpc::kCancel && !frame.too_long) {
    CancelRequest(connection, frame.stream_id);
    return;
  }
  const link::RequestFault fault = FindFault(frame, connection->last_stream_id);
  // "Unknown frame types ignored": ttrpc may come to have more of them.
  if (fault == link::kFrameNotRequest && frame.type != ttrpc::kData) return;
  if (fault == link::kFrameOk) connection->last_stream_id = frame.stream_id;
  PendingRequest request;
  request.body.connection = connection->id();
  request.body.stream_id = frame.stream_id;
  request.body.frame_length = frame.length;
  request.body.frame_type = frame.type;
  request.body.frame_flags = frame.flags;
  request.body.fault = fault;
  request.payload = std::move(frame.payload);
  // Pieces of unknown size have made it up to twice as large.
  request.payload.shrink_to_fit();
  ++connection->unanswered;
  connection->unanswered_bytes += request.payload.size();
  requests_.emplace(next_token_++, std::move(request));
  head_->Wake();
}

void Server::CancelRequest(Connection* connection, uint32_t stream_id) {
  for (auto it = requests_.begin(); it != requests_.end(); ++it) {
    const PendingRequest& request = it->second;
    if (request.body.connection != connection->id() ||
        request.body.stream_id != stream_id) {
      continue;
    }
    link::Writer* head = head_->output();
    if (request.sent_at != 0 && head != nullptr) {
      head->Add(Type::kCancelled, it->first);
    }
    --connection->unanswered;
    connection->unanswered_bytes -= request.payload.size();
    requests_.erase(it);
    return;
  }
}

UniqueFd Server::ReleaseGrpc(Connection* connection) {
  UniqueFd fd = connection->Release();
  connections_.erase(connection->id());
  return fd;
}

void Server::Close(Connection* connection) {
  const uint64_t id = connection->id();
  link::Writer* head = head_->output();
  for (auto it = requests_.begin(); it != requests_.end();) {
    if (it->second.body.connection != id) {
      ++it;
      continue;
    }
    if (it->second.sent_at != 0 && head != nullptr) {
      head->Add(Type::kCancelled, it->first);
    }
    it = requests_.erase(it);
  }
  connections_.erase(id);
  // The engine has gone, and will be back. It asks one instance after the other
  // then, so heads that rest are better started now, all at the same time.
  if (connections_.empty()) head_->Wake();
}

void Server::CloseIfDone(Connection* connection) {
  if (connection->end_of_input() && connection->unanswered == 0 &&
      connection->sent_all()) {
    Close(connection);
  } else {
    connection->UpdateInterest();
  }
}

void Server::SendRequest(uint64_t token, PendingRequest* request) {
  head_->output()->Add(Type::kRequest, token, 0, request->body,
                       request->payload);
  request->sent_at = head_->bytes_promised();
}

bool Server::FeedHead() {
  if (head_->state() != HeadState::kReady) return true;
  link::Writer* head = head_->output();
  while (true) {
    auto it = requests_.lower_bound(next_to_send_);
    for (; it != requests_.end() && head->size() < kLinkQueue; ++it) {
      SendRequest(it->first, &it->second);
      next_to_send_ = it->first + 1;
    }
    const bool sent_all = it == requests_.end();
    if (sent_all && std::exchange(sync_due_, false)) head->Add(Type::kSynced);
    if (!head_->Flush()) return false;
    if (!head->empty() || sent_all) return true;
  }
}

void Server::OnHeadDied(bool crashed) {
  const uint64_t taken = head_->bytes_taken();
  for (auto& [token, request] : requests_) {
    const bool had_it = request.sent_at != 0 && request.sent_at <= taken;
    if (had_it && crashed && !request.parked &&
        request.body.deaths < UINT8_MAX) {
      ++request.body.deaths;
    }
    request.sent_at = 0;
    request.parked = false;
  }
  OnNewHead();
}

void Server::Respond(uint64_t token, std::string_view payload) {
  const auto found = requests_.find(token);
  if (found == requests_.end()) return;
  Connection* connection = connections_.at(found->second.body.connection).get();
  --connection->unanswered;
  connection->unanswered_bytes -= found->second.payload.size();
  const uint32_t stream_id = found->second.body.stream_id;
  requests_.erase(found);
  if (connection->Send(stream_id, payload)) {
    CloseIfDone(connection);
  } else {
    Close(connection);
  }
}

void Server::Park(uint64_t token) {
  const auto found = requests_.find(token);
  if (found != requests_.end()) found->second.parked = true;
}

void Server::CloseListener() {
  if (!listener_.valid()) return;
  // Before the close, so that nobody connects to a socket that is about to go;
  // and whoever has is let in, or it would be reset.
  unlink(socket_path_);
  OnListenReadable();
  if (resume_at_ == kNever) poller_->Remove(listener_.get());
  listener_.Reset();
  resume_at_ = kNever;
}

bool Server::has_work() const {
  for (const auto& [token, request] : requests_) {
    if (!request.parked) return true;
  }
  return false;
}

bool Server::sent_all() const {
  for (const auto& [id, connection] : connections_) {
    if (!connection->sent_all()) return false;
  }
  return true;
}

}  // namespace hydra::monitor
