// hydra-grpc: speaks gRPC for one instance. Executed by hydra-monitor, never by
// hand: shim/link/grpc.h says with what, and when it ends.

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "shim/base/log.h"
#include "shim/base/status.h"
#include "shim/base/unique_fd.h"
#include "shim/event/event_loop.h"
#include "shim/grpc/server.h"
#include "shim/link/grpc.h"
#include "shim/ttrpc/client.h"

namespace hydra {
namespace {

// Without a client for two of these in a row it says that it is idle.
constexpr std::chrono::seconds kLook{5};
// So often it looks whether the last client has gone, once it gets no more.
constexpr std::chrono::seconds kLastLook{1};
// An answer that gRPC has been given is on its way for so long at most.
constexpr std::chrono::milliseconds kLastAnswers{200};
// Without an instance a client gets so much time to take its last answer.
constexpr std::chrono::seconds kLastWord{2};

class Program final {
 public:
  explicit Program(EventLoop* loop)
      : loop_(loop),
        link_(link::kGrpcLinkFd),
        instance_(loop, UniqueFd(link::kGrpcCallsFd), "",
                  [this] { OnLost(); }) {}

  absl::Status Run();

 private:
  void OnLink();
  void Look();
  void OnLost();
  void EndWhenAnswered();

  EventLoop* const loop_;
  UniqueFd link_;
  ttrpc::Client instance_;
  std::unique_ptr<GrpcServer> server_;
  EventLoop::Registration link_readable_;
  EventLoop::Registration look_;
  EventLoop::Registration end_;
  uint64_t taken_ = 0;
  bool was_idle_ = false;
};

absl::Status Program::Run() {
  HYDRA_ASSIGN_OR_RETURN(server_, GrpcServer::Create(loop_, &instance_));
  HYDRA_ASSIGN_OR_RETURN(
      link_readable_,
      loop_->Watch(link_.get(), EPOLLIN, [this](uint32_t) { OnLink(); }));
  Look();
  loop_->Run();
  return absl::OkStatus();
}

void Program::OnLink() {
  link::GrpcConnection body = {};
  iovec part = {&body, sizeof(body)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t n = recvmsg(link_.get(), &message, MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    link_readable_ = {};
    link_.Reset();
    Look();
    return;
  }
  taken_ = body.number;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) {
    LogError("a gRPC connection came without a descriptor");
    return;
  }
  int fd = -1;
  memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  was_idle_ = false;
  server_->Adopt(UniqueFd(fd));
}

void Program::Look() {
  const bool is_idle = !server_->connected();
  if (is_idle && !link_.valid()) {
    loop_->Quit();
    return;
  }
  if (is_idle && was_idle_) {
    const link::GrpcIdle idle = {taken_};
    // If it does not go out the next one will.
    (void)send(link_.get(), &idle, sizeof(idle), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  was_idle_ = is_idle;
  look_ = loop_->After(link_.valid() ? kLook : kLastLook, [this] { Look(); });
}

void Program::OnLost() {
  end_ = loop_->After(kLastWord, [this] { loop_->Quit(); });
  link_readable_ = {};
  EndWhenAnswered();
}

void Program::EndWhenAnswered() {
  look_ = loop_->After(kLastAnswers, [this, was = server_->calls()] {
    if (was == 0 && server_->calls() == 0) {
      loop_->Quit();
    } else {
      EndWhenAnswered();
    }
  });
}

absl::Status Main() {
  HYDRA_ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  // Neither is destroyed: gRPC's destructor would wait for its clients.
  return (new Program(loop.release()))->Run();
}

}  // namespace
}  // namespace hydra

int main() {
  // gRPC has a dozen threads, which would get a heap each.
  mallopt(M_ARENA_MAX, 1);
  signal(SIGPIPE, SIG_IGN);
  hydra::SetLogSink(STDERR_FILENO, hydra::LogLevel::kInfo);
  hydra::SetLogContext("program=hydra-grpc pid=" + std::to_string(getpid()));
  if (fcntl(hydra::link::kGrpcLinkFd, F_SETFD, FD_CLOEXEC) < 0 ||
      fcntl(hydra::link::kGrpcCallsFd, F_SETFD, FD_CLOEXEC) < 0) {
    hydra::LogError("hydra-grpc is started by hydra-monitor, not by hand");
    return 2;
  }
  const absl::Status status = hydra::Main();
  if (!status.ok()) hydra::LogError("hydra-grpc: ", hydra::Message(status));
  _exit(status.ok() ? 0 : 1);
}
