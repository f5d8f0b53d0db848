// Debian's libdbus-1.a asks libsystemd for listening sockets when it is a bus
// daemon. We are never one, and there is no static libsystemd: these stand for
// it, and say "not started by systemd" (sd_listen_fds(3), sd_is_socket(3)).

extern "C" {

int sd_listen_fds(int unset_environment);
int sd_is_socket(int fd, int family, int type, int listening);

int sd_listen_fds(int /*unset_environment*/) { return 0; }

int sd_is_socket(int /*fd*/, int /*family*/, int /*type*/, int /*listening*/) {
  return 0;
}

}  // extern "C"
