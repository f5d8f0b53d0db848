// A head that does nothing: it hands its end of the link to the test, which
// listens on the unix socket named by the first argument, and then obeys it.
//
// It sends its pid with the link as SCM_RIGHTS, closes its own copy, and reads
// commands of two bytes: 'x' and an exit status. At end of file it ends too.
// With --check it passes for a head that may be upgraded to.

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/link/protocol.h"

namespace {

bool SendLink(int control) {
  pid_t pid = getpid();
  iovec iov = {&pid, sizeof(pid)};
  alignas(cmsghdr) char buffer[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = buffer;
  message.msg_controllen = sizeof(buffer);
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  const int link = hydra::link::kLinkFd;
  memcpy(CMSG_DATA(c), &link, sizeof(link));
  return sendmsg(control, &message, MSG_NOSIGNAL) == sizeof(pid);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (strcmp(argv[1], "--check") == 0) return puts("ok 7.7.7") < 0;
  const int control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
  if (connect(control, reinterpret_cast<sockaddr*>(&address), sizeof(address)) <
          0 ||
      !SendLink(control)) {
    return 3;
  }
  close(hydra::link::kLinkFd);
  unsigned char command[2];
  if (read(control, command, sizeof(command)) != sizeof(command)) return 0;
  return command[1];
}
