#include "shim/monitor/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <utility>

namespace hydra::monitor {
namespace {

constexpr std::string_view kGrpcPreface = "PRI ";
// A buffer that has grown past this is freed once it is empty.
constexpr size_t kKeptCapacity = 4096;

}  // namespace

Connection::~Connection() {
  if (fd_.valid()) poller_->Remove(fd_.get());
}

int Connection::Open(Protocol protocol) {
  protocol_ = protocol;
  // Edge-triggered until the protocol is known: bytes that are looked at and
  // left there would otherwise be reported for ever.
  interest_ = protocol == Protocol::kUnknown ? EPOLLIN | EPOLLRDHUP | EPOLLET
                                             : WantedEvents();
  return poller_->Add(fd_.get(), interest_, tag());
}

bool Connection::Detect() {
  char first[kGrpcPreface.size()];
  const ssize_t n =
      recv(fd_.get(), first, sizeof(first), MSG_PEEK | MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  const auto size = static_cast<size_t>(n);
  if (memcmp(first, kGrpcPreface.data(), size) != 0) {
    protocol_ = Protocol::kTtrpc;
    UpdateInterest();
  } else if (size == sizeof(first)) {
    protocol_ = Protocol::kGrpc;
  }
  return true;
}

ssize_t Connection::Read(char* buffer, size_t size) {
  const ssize_t n = recv(fd_.get(), buffer, size, MSG_DONTWAIT);
  if (n > 0) return n;
  if (n == 0) {
    end_of_input_ = true;
    return 0;
  }
  return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

bool Connection::wants_input() const {
  return !end_of_input_ && unanswered < kMaxUnanswered &&
         unanswered_bytes < kMaxUnansweredBytes &&
         output_.size() - output_sent_ < kMaxUnsentBytes;
}

bool Connection::Send(uint32_t stream_id, std::string_view payload) {
  ttrpc::AppendFrame(stream_id, ttrpc::kResponse, payload, &output_);
  return Flush() && output_.size() - output_sent_ <= kGiveUpUnsentBytes;
}

bool Connection::Flush() {
  while (!sent_all()) {
    const ssize_t n =
        send(fd_.get(), output_.data() + output_sent_,
             output_.size() - output_sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return false;
    if (n < 0) break;
    output_sent_ += static_cast<size_t>(n);
  }
  if (sent_all()) {
    output_sent_ = 0;
    if (output_.capacity() > kKeptCapacity) {
      std::string().swap(output_);
    } else {
      output_.clear();
    }
  } else if (output_sent_ > output_.size() / 2) {
    output_.erase(0, output_sent_);
    output_sent_ = 0;
  }
  return true;
}

uint32_t Connection::WantedEvents() const {
  // With neither, a hang-up is still reported, and ends the connection.
  uint32_t wanted = 0;
  if (wants_input()) wanted |= EPOLLIN;
  if (!sent_all()) wanted |= EPOLLOUT;
  return wanted;
}

void Connection::UpdateInterest() {
  const uint32_t wanted = WantedEvents();
  if (protocol_ == Protocol::kUnknown || wanted == interest_) return;
  interest_ = wanted;
  poller_->Modify(fd_.get(), wanted, tag());
}

void Connection::Save(StateWriter* state) const {
  state->Number(id_);
  state->Fd(fd_);
  state->Number(static_cast<uint64_t>(protocol_));
  state->Number(end_of_input_);
  state->Number(last_stream_id);
  state->Bytes(std::string_view(output_).substr(output_sent_));
  frames.Save(state);
}

void Connection::Load(StateReader* state) {
  id_ = state->Number();
  fd_ = state->Fd();
  protocol_ = state->As<Protocol>();
  end_of_input_ = state->Number() != 0;
  last_stream_id = state->As<uint32_t>();
  output_ = state->Bytes();
  frames.Load(state);
}

int Connection::Resume() {
  if (protocol_ == Protocol::kUnknown) return Open();
  interest_ = WantedEvents();
  return poller_->Add(fd_.get(), interest_, tag());
}

UniqueFd Connection::Release() {
  poller_->Remove(fd_.get());
  return std::move(fd_);
}

}  // namespace hydra::monitor
