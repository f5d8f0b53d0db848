#include "shim/link/client.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

#include "shim/base/crash_point.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/link/type_name.h"

namespace hydra {
using link::Type;

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
      if (!node.empty()) node.mapped().Set(StatusIn(message));
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
