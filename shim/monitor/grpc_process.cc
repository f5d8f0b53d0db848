#include "shim/monitor/grpc_process.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "shim/link/grpc.h"
#include "shim/monitor/log.h"
#include "shim/monitor/spawn.h"

namespace hydra::monitor {
namespace {

constexpr EventTag kTag = {EventKind::kGrpc};

bool SendConnection(int link, uint64_t number, int connection) {
  link::GrpcConnection body = {number};
  iovec part = {&body, sizeof(body)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &connection, sizeof(int));
  ssize_t n;
  do {
    n = sendmsg(link, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n == sizeof(body);
}

}  // namespace

bool GrpcProcess::Start(const std::string& head) {
  int link[2];
  int calls[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0) {
    LogError("socketpair for hydra-grpc: %s", ErrorName(errno));
    return false;
  }
  UniqueFd ours(link[0]);
  const UniqueFd its(link[1]);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, calls) < 0) {
    LogError("socketpair for hydra-grpc: %s", ErrorName(errno));
    return false;
  }
  UniqueFd server_end(calls[0]);
  const UniqueFd client_end(calls[1]);
  SpawnArgs args;
  args.fds = {{its.get(), link::kGrpcLinkFd},
              {client_end.get(), link::kGrpcCallsFd},
              {STDERR_FILENO, STDERR_FILENO}};
  args.file_limit = child_file_limit_;
  std::string program = head.substr(0, head.rfind('/') + 1);
  program += link::kGrpcProgram;
  if (access(program.c_str(), X_OK) < 0) program = link::kGrpcProgram;
  args.argv = {program.c_str()};
  pid_t pid = 0;
  int error = poller_->Add(ours.get(), EPOLLIN, kTag);
  if (error == 0) {
    error = SpawnProcess(args, &pid);
    if (error != 0) poller_->Remove(ours.get());
  }
  if (error != 0) {
    LogError("gRPC connection closed: start %s: %s", program.c_str(),
             ErrorName(error));
    return false;
  }
  link_ = std::move(ours);
  passed_ = 0;
  processes_[pid] = server_->AddTtrpc(std::move(server_end));
  return true;
}

void GrpcProcess::Pass(UniqueFd connection, const std::string& head) {
  if (!link_.valid() && !Start(head)) return;
  if (SendConnection(link_.get(), passed_ + 1, connection.get())) {
    ++passed_;
    return;
  }
  LogWarning("gRPC connection closed: hydra-grpc: %s", ErrorName(errno));
  if (errno != EAGAIN) Retire();
}

void GrpcProcess::OnReadable() {
  link::GrpcIdle idle = {};
  const ssize_t n = recv(link_.get(), &idle, sizeof(idle), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  // It is idle, unless there is something on the way to it; or it has gone.
  if (n == sizeof(idle) && idle.taken != passed_) return;
  Retire();
}

bool GrpcProcess::OnExit(pid_t pid) {
  const auto found = processes_.find(pid);
  if (found == processes_.end()) return false;
  // Its connection has ended by itself. The link may be a successor's.
  processes_.erase(found);
  return true;
}

void GrpcProcess::Retire() {
  if (link_.valid()) poller_->Remove(link_.get());
  link_.Reset();
}

void GrpcProcess::End() {
  Retire();
  for (const auto& [pid, connection] : processes_) {
    server_->CloseConnection(connection);
  }
}

void GrpcProcess::Save(StateWriter* state) const {
  state->Fd(link_);
  state->Number(passed_);
  state->BeginList();
  for (const auto& [pid, connection] : processes_) {
    state->BeginRecord();
    state->Signed(pid);
    state->Number(connection);
    state->EndRecord();
  }
  state->EndList();
}

void GrpcProcess::Load(StateReader* state) {
  link_ = state->Fd();
  passed_ = state->Number();
  state->BeginList();
  while (state->BeginRecord()) {
    const pid_t pid = state->As<pid_t>();
    processes_[pid] = state->Number();
    state->EndRecord();
  }
  state->EndList();
}

void GrpcProcess::Resume() {
  if (link_.valid() && poller_->Add(link_.get(), EPOLLIN, kTag) != 0) Retire();
}

}  // namespace hydra::monitor
